use sallyport_audit::KeyId;

use super::*;
use crate::audit::collect::tests::journal::{Journal, at, session};
use crate::audit::records::Written;
use crate::audit::tests::{Operator, operator};

fn subject(user: &str) -> Subject {
    Subject::of(&user.parse().unwrap())
}

fn erasure(user: &str) -> Erasure {
    Erasure {
        id: "e1".into(),
        subject: subject(user).to_string(),
        legal_basis: "Art. 17".into(),
        requested_at: "2026-01-01T00:00:00Z".into(),
    }
}

async fn keys(operator: &Operator, user: &str) -> Vec<KeyId> {
    let person = persons::load(&operator.open.archive, &operator.records.id, subject(user)).await.unwrap();
    person.keys.into_keys().collect()
}

/// A gateway that records whatever it is told.
fn recording(operator: &Operator, journal: &Journal) -> tokio::task::JoinHandle<Vec<Event<sallyport_audit::Person>>> {
    let mut acts = operator.records.takes_writes(&journal.keeper.gateway);
    let incarnation = journal.keeper.incarnation;
    operator.records.update(|facts| {
        facts.gateways.entry("eu-gateway-0".into()).or_default().incarnation = incarnation.to_string();
    });
    let act = async move {
        let act = acts.recv().await.unwrap();
        act.done.send(Ok(Written { incarnation, sequence: 9 })).unwrap();
        vec![act.event]
    };
    tokio::spawn(act)
}

#[tokio::test]
async fn keys_of_one_person_are_destroyed_after_it_was_recorded_and_late_ones_too() {
    let (operator, mut journal) = (operator(), Journal::new());
    journal.append(session("lyon/hospital", "ada@vendor"), 0);
    journal.append(session("lyon/hospital", "ben@vendor"), 1);
    operator.archive(&journal).await;
    let ben = keys(&operator, "ben@vendor").await;
    assert_eq!((keys(&operator, "ada@vendor").await.len(), ben.len()), (1, 1));

    let gateways = [journal.keeper.gateway.clone()];
    let nobody = erase(&operator.records, &operator.open, &erasure("ada@vendor"), &gateways, at(100)).await;
    assert!(matches!(nobody, Err(EraseError::NotTold { .. })), "{nobody:?}");
    assert_eq!(keys(&operator, "ada@vendor").await.len(), 1, "nothing is destroyed before it is recorded");

    let recorded = recording(&operator, &journal);
    let erased = erase(&operator.records, &operator.open, &erasure("ada@vendor"), &gateways, at(100)).await.unwrap();
    assert_eq!(erased, Erased { keys: 1, at: at(100) });
    assert!(matches!(&recorded.await.unwrap()[..], [Event::AuditErased(event)] if event.keys == 1));
    assert!(keys(&operator, "ada@vendor").await.is_empty());
    assert_eq!(keys(&operator, "ben@vendor").await, ben, "nobody else is touched");

    // What was used before comes late; what begins later is another matter.
    journal.append(session("paris/clinic", "ada@vendor"), 50);
    operator.archive(&journal).await;
    assert!(keys(&operator, "ada@vendor").await.is_empty());
    journal.append(session("nice/clinic", "ada@vendor"), 200);
    operator.archive(&journal).await;
    assert_eq!(keys(&operator, "ada@vendor").await.len(), 1);

    // Again, by an operator that does not remember: the same, and nobody is told twice.
    let again = erase(&operator.records, &operator.open, &erasure("ada@vendor"), &gateways, at(300)).await.unwrap();
    assert_eq!(again, Erased { keys: 1, at: at(100) });
    assert_eq!(keys(&operator, "ada@vendor").await.len(), 1);
}
