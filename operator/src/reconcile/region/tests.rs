use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::control::config_signer::tests::authority;
use crate::run::idle;

/// A region says which key is lost, and not that something could not be issued.
#[tokio::test]
async fn a_lost_key_is_named() {
    let (ctx, key) = (idle(), ObjectKey::new("dmz", "eu"));
    let region = |ca: &str| -> DmzRegion {
        let door = |host: &str| json!({ "host": host });
        serde_json::from_value(json!({
            "apiVersion": "sallyport.dev/v1alpha1", "kind": "DmzRegion",
            "metadata": { "name": "eu", "namespace": "dmz" },
            "spec": {
                "outer": door("outer.example"), "inner": door("inner.example"),
                "certificateAuthorityRef": { "name": ca },
                "engineers": { "clientCertificates": { "authoritiesRef": { "name": "e", "key": "ca.crt" } } },
            },
        }))
        .unwrap()
    };
    let object = serde_json::from_value(json!({
        "apiVersion": "sallyport.dev/v1alpha1", "kind": "CertificateAuthority",
        "metadata": { "name": "ca", "namespace": "dmz" }, "spec": { "subject": { "commonName": "EU" } },
        "status": { "issuing": 3 },
    }));
    ctx.world.authorities.put(object.unwrap());
    assert!(matches!(signer(&ctx, &key, &region("ca")), Err(Trouble::AuthorityNotReady(_))));

    let good = authority(3, Timestamp::now());
    let authority = ObjectKey::new("dmz", "ca");
    assert!(ctx.authorities.put(&authority, good.clone()));
    assert!(signer(&ctx, &key, &region("ca")).is_ok());

    assert!(ctx.authorities.put(&authority, Signer { issuing: None, ..good }));
    let trouble = signer(&ctx, &key, &region("ca")).unwrap_err();
    let message = trouble.to_string();
    assert_eq!(trouble.reason(), "AuthorityNotReady");
    assert!(message.contains("the key of generation 3") && message.contains("Secret ca-ca"), "{message}");
}
