//! Agents: made, read, paged, changed by etag, deleted.

use parlance_store::agents::{self, Agent, AgentOrder, AgentState, AgentUpdate, NewAgent};
use parlance_store::{AgentId, Error, PageRequest, Scope, Store};
use serde_json::json;

use crate::setup::{in_both_setups, new_organisation};

pub async fn new_agent(scope: &Scope, id: &str) -> Agent {
    try_new_agent(scope, id).await.unwrap()
}

async fn try_new_agent(scope: &Scope, id: &str) -> parlance_store::Result<Agent> {
    let id = AgentId::parse(id).unwrap();
    let settings = json!({"voice": {"name": "slt"}});
    let labels = json!({"team": "front"});
    let new = NewAgent { id, display_name: "Bella Roma".into(), state: AgentState::Active, labels, settings };
    agents::create(scope, new).await
}

fn renamed(name: &str) -> AgentUpdate {
    AgentUpdate { display_name: Some(name.to_owned()), ..Default::default() }
}

in_both_setups! {
    async fn an_agent_reads_back_as_it_was_made(store: Store) {
        let scope = new_organisation(&store).await;
        let made = new_agent(&scope, "bella").await;
        assert_eq!(agents::get(&scope, &made.id).await.unwrap(), made);
        assert_eq!(made.settings, json!({"voice": {"name": "slt"}}));
    }

    async fn an_id_is_taken_once_per_organisation(store: Store) {
        let (first, second) = (new_organisation(&store).await, new_organisation(&store).await);
        new_agent(&first, "bella").await;
        let again = try_new_agent(&first, "bella").await;
        assert!(matches!(again, Err(Error::AlreadyExists("agent"))), "{again:?}");
        new_agent(&second, "bella").await;
    }

    async fn a_change_gives_a_new_etag_and_leaves_the_rest(store: Store) {
        let scope = new_organisation(&store).await;
        let made = new_agent(&scope, "bella").await;
        let changed = agents::update(&scope, &made.id, renamed("Bella"), Some(&made.etag)).await.unwrap();
        assert_eq!((changed.display_name.as_str(), &changed.settings), ("Bella", &made.settings));
        assert_ne!(changed.etag, made.etag);
        assert_eq!(agents::get(&scope, &made.id).await.unwrap(), changed);
    }

    async fn a_stale_etag_neither_changes_nor_deletes(store: Store) {
        let scope = new_organisation(&store).await;
        let made = new_agent(&scope, "bella").await;
        let changed = agents::update(&scope, &made.id, renamed("Bella"), None).await.unwrap();
        let late = agents::update(&scope, &made.id, renamed("Late"), Some(&made.etag)).await;
        assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
        let late = agents::delete(&scope, &made.id, Some(&made.etag)).await;
        assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
        assert_eq!(agents::get(&scope, &made.id).await.unwrap(), changed);
    }

    async fn of_two_changes_from_one_etag_one_wins(store: Store) {
        let scope = new_organisation(&store).await;
        let made = new_agent(&scope, "bella").await;
        let tasks: Vec<_> = (0..2).map(|number| {
            let (scope, made) = (scope.clone(), made.clone());
            tokio::spawn(async move {
                agents::update(&scope, &made.id, renamed(&number.to_string()), Some(&made.etag)).await
            })
        }).collect();
        let mut won = 0;
        for task in tasks {
            won += usize::from(task.await.unwrap().is_ok());
        }
        assert_eq!(won, 1);
    }

    async fn a_deleted_agent_is_gone_and_its_id_free(store: Store) {
        let scope = new_organisation(&store).await;
        let made = new_agent(&scope, "bella").await;
        agents::delete(&scope, &made.id, Some(&made.etag)).await.unwrap();
        let gone = agents::delete(&scope, &made.id, None).await;
        assert!(matches!(gone, Err(Error::NotFound("agent"))), "{gone:?}");
        new_agent(&scope, "bella").await;
    }

    async fn pages_give_every_agent_once_oldest_first(store: Store) {
        let scope = new_organisation(&store).await;
        for id in ["e", "d", "c", "b", "a"] {
            new_agent(&scope, id).await;
        }
        let mut request = PageRequest { size: 2, token: None };
        let mut seen = Vec::new();
        loop {
            let page = agents::list(&scope, &[], AgentOrder::default(), &request).await.unwrap();
            assert!(page.items.len() <= 2);
            seen.extend(page.items.into_iter().map(|agent| agent.id.to_string()));
            request.token = page.next_token;
            if request.token.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["e", "d", "c", "b", "a"]);
    }
}

#[test]
fn an_agent_id_is_1_to_63_of_the_allowed_characters() {
    for good in ["a", "bella-roma-2", &"x".repeat(63)] {
        assert_eq!(AgentId::parse(good).unwrap().as_str(), good);
    }
    for bad in ["", "Bella", "bella_roma", "bella roma", "béla", &"x".repeat(64)] {
        assert!(matches!(AgentId::parse(bad), Err(Error::Invalid { field: "agent_id", .. })), "{bad}");
    }
}
