//! A person is read with the key that the record names, at the place for which it was sealed, and in no other way.

use proptest::prelude::*;

use super::*;
use crate::scope::{Keeper, Scope};

fn keeper() -> Keeper {
    Keeper {
        region: sallyport_core::name::RegionId::parse("dmz", "frankfurt").unwrap(),
        gateway: "frankfurt-gateway-0".parse().unwrap(),
        incarnation: "00ff12ab".parse().unwrap(),
    }
}

fn ada(reason: &str) -> Person {
    Person {
        user: "ada@vendor.example".parse().unwrap(),
        groups: crate::Groups::clipped(&["ct-service".to_owned()]),
        reason: Some(reason.parse().unwrap()),
        from: Some("192.0.2.1:40000".parse().unwrap()),
    }
}

#[test]
fn it_opens_only_with_its_key_at_its_place() {
    let origin = keeper().origin(Scope::Site("lyon/hospital".parse().unwrap()));
    let (key, other) = (PersonKey::new([1; 32]), PersonKey::new([2; 32]));
    let sealed = seal(&ada("tube is noisy"), &key, &origin, 7, [9; 12]).unwrap();
    assert_eq!(open(&sealed, &key, &origin, 7), Ok(ada("tube is noisy")));
    assert_eq!(open(&sealed, &other, &origin, 7), Err(SealError::AnotherKey));
    assert_eq!(open(&sealed, &key, &origin, 8), Err(SealError::NotAuthentic));
    assert_eq!(open(&sealed, &key, &keeper().origin(Scope::Region), 7), Err(SealError::NotAuthentic));
    // Naming the other key does not help: the text is not sealed with it.
    let renamed = Sealed { key: other.id(), ..sealed };
    assert_eq!(open(&renamed, &other, &origin, 7), Err(SealError::NotAuthentic));
}

#[test]
fn nothing_personal_stands_in_the_clear_and_the_length_tells_little() {
    let origin = keeper().origin(Scope::Region);
    let key = PersonKey::new([1; 32]);
    let length = |reason: &str| seal(&ada(reason), &key, &origin, 0, [9; 12]).unwrap().data.as_bytes().len();
    assert_eq!(length("a"), length("abc"));
    assert_eq!((length("a") - 12 - 16) % 64, 0);
    let text = serde_json::to_string(&seal(&ada("tube"), &key, &origin, 0, [9; 12]).unwrap()).unwrap();
    assert!(!text.contains("ada") && !text.contains("192.0.2.1") && !text.contains("tube"), "{text}");
}

#[test]
fn a_key_cannot_be_formatted() {
    assert_eq!(format!("{:?}", PersonKey::new([7; 32])), "PersonKey(..)");
}

#[test]
fn a_person_in_another_spelling_is_none() {
    let origin = keeper().origin(Scope::Region);
    let key = PersonKey::new([1; 32]);
    let seal_text = |text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        let place = Aad::from(place(&origin, 0));
        let nonce = Nonce::assume_unique_for_key([9; 12]);
        cipher(&key).unwrap().seal_in_place_append_tag(nonce, place, &mut bytes).unwrap();
        Sealed { key: key.id(), data: SealedData::new([[9; 12].as_slice(), &bytes].concat()).unwrap() }
    };
    assert!(open(&seal_text(r#"{"user":"ada","groups":[]}   "#), &key, &origin, 0).is_ok());
    for text in
        [r#"{"user":"Ada","groups":[]}"#, r#"{"groups":[],"user":"ada"}"#, r#"{"user":"ada","groups":[],"x":1}"#, ""]
    {
        assert_eq!(open(&seal_text(text), &key, &origin, 0), Err(SealError::NotAPerson), "{text}");
    }
}

proptest! {
    #[test]
    fn a_changed_bit_opens_nothing(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let origin = keeper().origin(Scope::Region);
        let key = PersonKey::new([1; 32]);
        let sealed = seal(&ada("tube"), &key, &origin, 3, [9; 12]).unwrap();
        let mut bytes = sealed.data.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let changed = Sealed { data: SealedData::new(bytes).unwrap(), ..sealed };
        prop_assert_eq!(open(&changed, &key, &origin, 3), Err(SealError::NotAuthentic));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let key = PersonKey::new([1; 32]);
        let sealed = Sealed { key: key.id(), data: SealedData::new(bytes).unwrap() };
        prop_assert!(open(&sealed, &key, &keeper().origin(Scope::Region), 0).is_err());
    }
}
