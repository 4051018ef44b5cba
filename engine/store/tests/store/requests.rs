//! Repeated requests: claimed once, answered the same for a day, let go when they fail. And the audit log.

use parlance_store::audit_log::{self, AuditFilter, NewAuditEntry};
use parlance_store::requests::{self, Asked, Claim};
use parlance_store::{KeyId, PageRequest, Scope, Store};

use crate::setup::{execute, in_both_setups, new_organisation};

const ASKED: Asked<'static> = Asked { request_id: "one", method: "/Make", body: b"body" };

async fn claim(scope: &Scope, asked: Asked<'_>) -> Claim {
    requests::claim(scope, asked).await.unwrap()
}

async fn note(scope: &Scope, resource: &str) {
    let resource = resource.to_owned();
    let entry = NewAuditEntry { key_id: KeyId::new(), method: "/Make", resource, request_id: String::new() };
    audit_log::append(scope, entry).await.unwrap();
}

/// A row in each of the tables this file is about.
pub async fn one_of_each(scope: &Scope) {
    claim(scope, ASKED).await;
    note(scope, "agents/desk").await;
}

async fn age(scope: &Scope, by: &str) {
    let older = format!("UPDATE request_answers SET create_time = create_time - interval '{by}'");
    assert_eq!(execute(scope, &older).await.unwrap(), 1);
}

in_both_setups! {
    async fn a_request_is_claimed_once_and_then_answered_the_same(store: Store) {
        let scope = new_organisation(&store).await;
        assert_eq!(claim(&scope, ASKED).await, Claim::New);
        assert_eq!(claim(&scope, ASKED).await, Claim::UnderWay);
        requests::answer(&scope, "one", b"answer").await.unwrap();
        assert_eq!(claim(&scope, ASKED).await, Claim::Answered(b"answer".to_vec()));
        assert_eq!(claim(&scope, Asked { body: b"other", ..ASKED }).await, Claim::Reused);
        assert_eq!(claim(&scope, Asked { method: "/Unmake", ..ASKED }).await, Claim::Reused);
        let stranger = new_organisation(&store).await;
        assert_eq!(claim(&stranger, ASKED).await, Claim::New);
    }

    async fn a_request_that_failed_lets_its_id_go_but_an_answered_one_keeps_it(store: Store) {
        let scope = new_organisation(&store).await;
        claim(&scope, ASKED).await;
        requests::release(&scope, "one").await.unwrap();
        assert_eq!(claim(&scope, Asked { body: b"other", ..ASKED }).await, Claim::New);
        requests::answer(&scope, "one", b"answer").await.unwrap();
        requests::release(&scope, "one").await.unwrap();
        assert_eq!(claim(&scope, ASKED).await, Claim::Reused);
    }

    async fn a_claim_whose_node_was_lost_is_taken_over_after_a_minute(store: Store) {
        let scope = new_organisation(&store).await;
        claim(&scope, ASKED).await;
        age(&scope, "59 seconds").await;
        assert_eq!(claim(&scope, ASKED).await, Claim::UnderWay);
        age(&scope, "2 seconds").await;
        assert_eq!(claim(&scope, ASKED).await, Claim::New);
    }

    async fn an_answer_is_kept_for_a_day_and_swept_after_it(store: Store) {
        let scope = new_organisation(&store).await;
        claim(&scope, ASKED).await;
        requests::answer(&scope, "one", b"answer").await.unwrap();
        age(&scope, "23 hours").await;
        requests::sweep(&store).await.unwrap();
        assert_eq!(claim(&scope, ASKED).await, Claim::Answered(b"answer".to_vec()));
        age(&scope, "61 minutes").await;
        assert!(requests::sweep(&store).await.unwrap() >= 1);
        assert_eq!(claim(&scope, ASKED).await, Claim::New);
    }

    async fn the_audit_log_is_read_newest_first_in_pages_and_can_not_be_changed(store: Store) {
        let scope = new_organisation(&store).await;
        for resource in ["agents/a", "agents/b", "agents/c"] {
            note(&scope, resource).await;
        }
        let every = AuditFilter::default();
        let first = audit_log::list(&scope, &every, &PageRequest { size: 2, token: None }).await.unwrap();
        let rest = PageRequest { size: 2, token: first.next_token.clone() };
        let rest = audit_log::list(&scope, &every, &rest).await.unwrap();
        let read: Vec<_> = first.items.iter().chain(&rest.items).map(|entry| entry.resource.as_str()).collect();
        assert_eq!(read, ["agents/c", "agents/b", "agents/a"]);
        assert_eq!(rest.next_token, None);
        for change in ["UPDATE audit_log SET resource = ''", "DELETE FROM audit_log"] {
            assert!(execute(&scope, change).await.unwrap_err().to_string().contains("permission denied"));
        }
    }
}
