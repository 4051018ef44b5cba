//! Phone numbers: made once, assigned to agents that exist, changed by etag, deleted.

use parlance_store::phone_numbers::{
    self, Counts, INBOUND_AGENT, NewPhoneNumber, OUTBOUND_AGENT, PhoneNumber, PhoneNumberCondition,
    PhoneNumberFilter, PhoneNumberOrder, PhoneNumberState, PhoneNumberUpdate,
};
use parlance_store::{AgentId, Error, PageRequest, PhoneNumberId, Scope, Store, agents};

use crate::agents::new_agent;
use crate::setup::{in_both_setups, new_organisation};

fn number(digits: &str) -> NewPhoneNumber {
    NewPhoneNumber {
        id: PhoneNumberId::parse(digits).unwrap(),
        display_name: "Front desk".into(),
        state: PhoneNumberState::Active,
        inbound_agent_id: None,
        outbound_agent_id: None,
    }
}

pub async fn new_number(scope: &Scope, digits: &str) -> PhoneNumber {
    phone_numbers::create(scope, number(digits)).await.unwrap()
}

fn answered_by(agent: &AgentId) -> PhoneNumberUpdate {
    PhoneNumberUpdate { inbound_agent_id: Some(Some(agent.clone())), ..Default::default() }
}

async fn change(scope: &Scope, row: &PhoneNumber, change: PhoneNumberUpdate) -> PhoneNumber {
    phone_numbers::update(scope, &row.id, change, None).await.unwrap()
}

in_both_setups! {
    async fn a_number_reads_back_as_it_was_made(store: Store) {
        let scope = new_organisation(&store).await;
        let agent = new_agent(&scope, "bella").await.id;
        let wanted = NewPhoneNumber { outbound_agent_id: Some(agent.clone()), ..number("493012345678") };
        let made = phone_numbers::create(&scope, wanted).await.unwrap();
        assert_eq!((made.id.number().as_str(), made.state), ("+493012345678", PhoneNumberState::Active));
        assert_eq!((&made.inbound_agent_id, &made.outbound_agent_id), (&None, &Some(agent)));
        assert_eq!(phone_numbers::get(&scope, &made.id).await.unwrap(), made);
    }

    async fn an_organisation_has_a_number_once(store: Store) {
        let (first, second) = (new_organisation(&store).await, new_organisation(&store).await);
        new_number(&first, "493012345678").await;
        let again = phone_numbers::create(&first, number("493012345678")).await;
        assert!(matches!(again, Err(Error::AlreadyExists("phone number"))), "{again:?}");
        new_number(&second, "493012345678").await;
    }

    async fn a_change_gives_a_new_etag_and_leaves_the_rest(store: Store) {
        let scope = new_organisation(&store).await;
        let agent = new_agent(&scope, "bella").await.id;
        let made = new_number(&scope, "493012345678").await;
        let assigned = change(&scope, &made, answered_by(&agent)).await;
        assert_eq!((&assigned.inbound_agent_id, &assigned.outbound_agent_id), (&Some(agent), &None));
        assert_eq!((assigned.state, &assigned.display_name), (made.state, &made.display_name));
        assert_ne!(assigned.etag, made.etag);
        let off = PhoneNumberUpdate {
            state: Some(PhoneNumberState::Inactive), inbound_agent_id: Some(None), ..Default::default()
        };
        let off = change(&scope, &made, off).await;
        assert_eq!((off.state, &off.inbound_agent_id), (PhoneNumberState::Inactive, &None));
        assert_eq!(phone_numbers::get(&scope, &made.id).await.unwrap(), off);
    }

    async fn a_stale_etag_neither_changes_nor_deletes(store: Store) {
        let scope = new_organisation(&store).await;
        let made = new_number(&scope, "493012345678").await;
        let renamed = || PhoneNumberUpdate { display_name: Some("Bar".into()), ..Default::default() };
        let changed = change(&scope, &made, renamed()).await;
        let late = phone_numbers::update(&scope, &made.id, renamed(), Some(&made.etag)).await;
        assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
        let late = phone_numbers::delete(&scope, &made.id, Some(&made.etag)).await;
        assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
        assert_eq!(phone_numbers::get(&scope, &made.id).await.unwrap(), changed);
        phone_numbers::delete(&scope, &made.id, Some(&changed.etag)).await.unwrap();
        let gone = phone_numbers::delete(&scope, &made.id, None).await;
        assert!(matches!(gone, Err(Error::NotFound("phone number"))), "{gone:?}");
    }

    async fn an_agent_that_is_not_there_is_not_assigned(store: Store) {
        let (scope, other) = (new_organisation(&store).await, new_organisation(&store).await);
        let theirs = new_agent(&other, "bella").await.id;
        let made = new_number(&scope, "493012345678").await;
        let refused = phone_numbers::update(&scope, &made.id, answered_by(&theirs), None).await;
        assert!(matches!(refused, Err(Error::NotFound(INBOUND_AGENT))), "{refused:?}");
        let wanted = NewPhoneNumber { outbound_agent_id: Some(theirs), ..number("4930999999") };
        let refused = phone_numbers::create(&scope, wanted).await;
        assert!(matches!(refused, Err(Error::NotFound(OUTBOUND_AGENT))), "{refused:?}");
        assert_eq!(phone_numbers::get(&scope, &made.id).await.unwrap(), made);
    }

    async fn a_deleted_agent_is_taken_off_its_numbers(store: Store) {
        let scope = new_organisation(&store).await;
        let agent = new_agent(&scope, "bella").await.id;
        let (asked, asking) = (new_number(&scope, "4930111111").await, new_number(&scope, "4930222222").await);
        change(&scope, &asked, answered_by(&agent)).await;
        let calls = PhoneNumberUpdate { outbound_agent_id: Some(Some(agent.clone())), ..Default::default() };
        let assigned = change(&scope, &asking, calls).await;
        agents::delete(&scope, &agent, None).await.unwrap();
        for id in [&asked.id, &asking.id] {
            let left = phone_numbers::get(&scope, id).await.unwrap();
            assert_eq!((left.inbound_agent_id, left.outbound_agent_id), (None, None));
            assert_ne!(left.etag, assigned.etag);
        }
    }

    async fn of_assigning_and_deleting_an_agent_at_once_none_leaves_a_number_to_nobody(store: Store) {
        let scope = new_organisation(&store).await;
        let made = new_number(&scope, "493012345678").await;
        for round in 0..8 {
            let agent = new_agent(&scope, &format!("bella-{round}")).await.id;
            let (change, delete) = tokio::join!(
                phone_numbers::update(&scope, &made.id, answered_by(&agent), None),
                agents::delete(&scope, &agent, None),
            );
            delete.unwrap();
            assert!(matches!(change, Ok(_) | Err(Error::NotFound(INBOUND_AGENT))), "{change:?}");
            assert_eq!(phone_numbers::get(&scope, &made.id).await.unwrap().inbound_agent_id, None);
        }
    }

    async fn pages_hold_every_number_that_matches_once_and_count_them_all(store: Store) {
        let scope = new_organisation(&store).await;
        let agent = new_agent(&scope, "bella").await.id;
        let mut wanted = Vec::new();
        for digits in ["4930111111", "4930222222", "4930333333"] {
            let made = new_number(&scope, digits).await;
            wanted.push(change(&scope, &made, answered_by(&agent)).await.id);
        }
        let idle = new_number(&scope, "4930444444").await;
        let off = PhoneNumberUpdate { state: Some(PhoneNumberState::Inactive), ..Default::default() };
        change(&scope, &idle, off).await;

        let filter = PhoneNumberFilter { agent_id: Some(agent), state: Some(PhoneNumberState::Active), ..Default::default() };
        let mut request = PageRequest { size: 2, token: None };
        let (first, total) = phone_numbers::list(&scope, &filter, &request).await.unwrap();
        request.token = first.next_token.clone();
        let (second, same_total) = phone_numbers::list(&scope, &filter, &request).await.unwrap();
        let found: Vec<_> = first.items.iter().chain(&second.items).map(|row| row.id.clone()).collect();
        let three = Counts { total: 3, active: 3 };
        assert_eq!((found, total, same_total, second.next_token), (wanted, three, three, None));

        let (all, total) = phone_numbers::list(&scope, &Default::default(), &PageRequest::default()).await.unwrap();
        assert_eq!((all.items.len(), total), (4, Counts { total: 4, active: 3 }));
        let inactive = PhoneNumberFilter { state: Some(PhoneNumberState::Inactive), ..Default::default() };
        let (found, _) = phone_numbers::list(&scope, &inactive, &PageRequest::default()).await.unwrap();
        assert_eq!(found.items.iter().map(|row| &row.id).collect::<Vec<_>>(), [&idle.id]);
        let foreign = phone_numbers::list(&scope, &inactive, &request).await;
        assert!(matches!(foreign, Err(Error::Invalid { field: "page_token", .. })), "{foreign:?}");
    }

    async fn numbers_are_found_by_what_they_fulfil_and_paged_in_either_order(store: Store) {
        let scope = new_organisation(&store).await;
        let agent = new_agent(&scope, "bella").await.id;
        let mut ids = Vec::new();
        for digits in ["4930333333", "4930111111", "4930222222"] {
            ids.push(new_number(&scope, digits).await.id);
        }
        let first = phone_numbers::get(&scope, &ids[0]).await.unwrap();
        change(&scope, &first, answered_by(&agent)).await;
        let of = |condition| PhoneNumberFilter { conditions: vec![condition], ..Default::default() };
        for (filter, wanted) in [
            (of(PhoneNumberCondition::Inbound(Some(agent.clone()))), vec![&ids[0]]),
            (of(PhoneNumberCondition::Inbound(None)), vec![&ids[1], &ids[2]]),
            (of(PhoneNumberCondition::Outbound(Some(agent))), vec![]),
            (of(PhoneNumberCondition::State(PhoneNumberState::Active)), vec![&ids[0], &ids[1], &ids[2]]),
        ] {
            let (page, counts) = phone_numbers::list(&scope, &filter, &PageRequest::default()).await.unwrap();
            assert_eq!(page.items.iter().map(|row| &row.id).collect::<Vec<_>>(), wanted, "{filter:?}");
            assert_eq!(counts.total, wanted.len() as i64);
        }
        for (order, rising) in [(PhoneNumberOrder::CreateTime, [0, 1, 2]), (PhoneNumberOrder::Number, [1, 2, 0])] {
            for descending in [false, true] {
                let filter = PhoneNumberFilter { order, descending, ..Default::default() };
                let mut request = PageRequest { size: 1, token: None };
                let mut seen = Vec::new();
                while seen.len() < 3 {
                    let (page, _) = phone_numbers::list(&scope, &filter, &request).await.unwrap();
                    seen.extend(page.items.into_iter().map(|row| row.id));
                    request.token = page.next_token;
                }
                let mut wanted = rising.map(|index| ids[index].clone()).to_vec();
                if descending { wanted.reverse() }
                assert_eq!((seen, request.token), (wanted, None), "{order:?} {descending}");
            }
        }
    }
}
