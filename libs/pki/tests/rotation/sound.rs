//! The machine keeps all eight properties, whatever happens.

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use sallyport_pki::rotation::step;

use super::actions::{History, histories};
use super::operator::Operator;
use super::properties::{ALL, hold};

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("proptest-regressions/rotation.txt"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_property_holds_after_every_action(acts in histories()) {
        let result = hold(&ALL, History::new(Operator::sound(step)), &acts);
        prop_assert!(result.is_ok(), "{}", result.unwrap_err());
    }
}
