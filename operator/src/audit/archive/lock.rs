//! Whether a bucket keeps what is written to it: Object Lock in compliance mode with a default retention, which not even
//! the account's owner can shorten.

use object_store::ClientOptions;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer};
use object_store::client::{HttpConnector as _, HttpRequest, HttpRequestBody, ReqwestConnector};

use super::ProbeError;

/// What keeps records from being deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Object Lock in compliance mode.
    Compliance {
        /// The default retention, as the bucket says it.
        retention: String,
    },
    /// Nothing.
    Missing {
        /// What was found instead.
        why: String,
    },
    /// Nothing but the volume's own permissions.
    Volume,
}

/// Asks the bucket.
pub(super) async fn ask(bucket: &str, s3: &AmazonS3) -> Result<Lock, ProbeError> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| ProbeError::Lock(error);
    let told = AmazonS3Builder::from_env();
    let region = told.get_config_value(&AmazonS3ConfigKey::Region).unwrap_or_else(|| "us-east-1".to_owned());
    let endpoint = told.get_config_value(&AmazonS3ConfigKey::Endpoint);
    let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
    let url = format!("{}/{bucket}?object-lock", endpoint.trim_end_matches('/'));
    let credential = s3.credentials().get_credential().await.map_err(|e| failed(e.into()))?;
    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.uri_mut() = url.parse().map_err(|e: http::uri::InvalidUri| failed(e.into()))?;
    AwsAuthorizer::new(&credential, "s3", &region).try_authorize(&mut request, None).map_err(|e| failed(e.into()))?;
    let options = ClientOptions::new().with_allow_http(endpoint.starts_with("http://"));
    let client = ReqwestConnector::default().connect(&options).map_err(|e| failed(e.into()))?;
    let answer = client.execute(request).await.map_err(|e| failed(e.into()))?;
    let status = answer.status();
    let body = answer.into_body().bytes().await.map_err(|e| failed(e.into()))?;
    let body = String::from_utf8_lossy(&body);
    match status.as_u16() {
        200 => Ok(judge(&body)),
        404 => Ok(Lock::Missing { why: "it has no configuration of an Object Lock".to_owned() }),
        other => {
            Err(failed(format!("the store answered {other}: {}", body.chars().take(200).collect::<String>()).into()))
        }
    }
}

/// What the answer to `GET ?object-lock` says. Whatever is not clearly a lock is none.
fn judge(xml: &str) -> Lock {
    let missing = |why: &str| Lock::Missing { why: why.to_owned() };
    if element(xml, "ObjectLockEnabled") != Some("Enabled") {
        return missing("its Object Lock is not enabled");
    }
    let Some(rule) = element(xml, "DefaultRetention") else { return missing("it has no default retention") };
    if element(rule, "Mode") != Some("COMPLIANCE") {
        return missing("its default retention is not in compliance mode, so that some may delete all the same");
    }
    let positive = |name| element(rule, name).filter(|text| text.parse::<u32>().is_ok_and(|number| number > 0));
    match (positive("Years"), positive("Days")) {
        (Some(years), _) => Lock::Compliance { retention: format!("{years} years") },
        (None, Some(days)) => Lock::Compliance { retention: format!("{days} days") },
        (None, None) => missing("its default retention has no length"),
    }
}

/// The content of the first element of this name, which in this answer has no attributes and is not nested in itself.
fn element<'x>(xml: &'x str, name: &str) -> Option<&'x str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(content, _)| content.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(rule: &str) -> String {
        format!(
            r#"<?xml version="1.0"?><ObjectLockConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><ObjectLockEnabled>Enabled</ObjectLockEnabled>{rule}</ObjectLockConfiguration>"#
        )
    }

    fn retention(inner: &str) -> String {
        answer(&format!("<Rule><DefaultRetention>{inner}</DefaultRetention></Rule>"))
    }

    #[test]
    fn compliance_with_a_length_is_a_lock() {
        let lock = |xml: &str| judge(xml);
        assert_eq!(
            lock(&retention("<Mode>COMPLIANCE</Mode><Years>6</Years>")),
            Lock::Compliance { retention: "6 years".into() }
        );
        assert_eq!(
            lock(&retention("<Mode>COMPLIANCE</Mode><Days>10</Days>")),
            Lock::Compliance { retention: "10 days".into() }
        );
    }

    #[test]
    fn anything_else_is_none() {
        for xml in [
            String::new(),
            answer(""),
            retention("<Mode>GOVERNANCE</Mode><Years>6</Years>"),
            retention("<Mode>COMPLIANCE</Mode>"),
            retention("<Mode>COMPLIANCE</Mode><Days>0</Days>"),
            retention("<Years>6</Years>"),
            retention("<Mode>COMPLIANCE</Mode><Years>6</Years>").replace("Enabled<", "Disabled<"),
        ] {
            assert!(matches!(judge(&xml), Lock::Missing { .. }), "{xml}");
        }
    }
}
