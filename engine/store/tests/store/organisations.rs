//! Organisations: the default one, and what can be set on one.

use parlance_store::organisations::{self, OpeningHours, OrganisationUpdate};
use parlance_store::{Error, OrganisationId, PageRequest, Store, keys};

use crate::setup::{in_both_setups, new_organisation};

in_both_setups! {
    async fn the_default_organisation_is_there_and_open_every_day_from_11_to_22(store: Store) {
        let scope = store.scope(OrganisationId::DEFAULT);
        let organisation = organisations::get(&scope).await.unwrap();
        assert_eq!((organisation.time_zone.as_str(), organisation.appointment_capacity), ("UTC", 1));
        let week = organisations::opening_hours(&scope).await.unwrap();
        assert_eq!(week, OpeningHours::default_week());
        assert_eq!((week.len(), week[0].opens_minute, week[0].closes_minute), (7, 660, 1320));
    }

    async fn zone_hours_and_capacity_can_be_set(store: Store) {
        let scope = new_organisation(&store).await;
        organisations::set_time_zone(&scope, "Europe/Berlin").await.unwrap();
        organisations::set_appointment_capacity(&scope, 12).await.unwrap();
        let late = OpeningHours { weekday: 6, opens_minute: 18 * 60, closes_minute: 26 * 60 };
        organisations::set_opening_hours(&scope, &[late]).await.unwrap();
        let organisation = organisations::get(&scope).await.unwrap();
        assert_eq!((organisation.time_zone.as_str(), organisation.appointment_capacity), ("Europe/Berlin", 12));
        assert_eq!(organisations::opening_hours(&scope).await.unwrap(), [late]);
    }

    async fn what_can_not_be_is_refused_and_changes_nothing(store: Store) {
        let scope = new_organisation(&store).await;
        let noon = OpeningHours { weekday: 1, opens_minute: 720, closes_minute: 780 };
        let refused = [
            organisations::set_time_zone(&scope, "Mars/Olympus").await,
            organisations::set_appointment_capacity(&scope, 0).await,
            organisations::set_opening_hours(&scope, &[OpeningHours { weekday: 8, ..noon }]).await,
            organisations::set_opening_hours(&scope, &[OpeningHours { closes_minute: 720, ..noon }]).await,
            organisations::set_opening_hours(&scope, &[noon, noon]).await,
        ];
        assert!(refused.iter().all(|it| matches!(it, Err(Error::Invalid { .. }))), "{refused:?}");
        assert_eq!(organisations::opening_hours(&scope).await.unwrap(), OpeningHours::default_week());
    }

    async fn nothing_can_be_set_on_an_organisation_that_is_not_there(store: Store) {
        let nobody = store.scope(OrganisationId::new());
        let refused = organisations::set_time_zone(&nobody, "UTC").await;
        assert!(matches!(refused, Err(Error::NotFound("organisation"))), "{refused:?}");
    }

    async fn a_new_organisation_has_its_week_and_a_key_that_opens_it(store: Store) {
        let night = OpeningHours { weekday: 6, opens_minute: 18 * 60, closes_minute: 26 * 60 };
        let new = OrganisationUpdate {
            display_name: Some("Bella Roma".into()),
            instructions: Some("We are polite.".into()),
            sessions_max: Some(3),
            ..Default::default()
        };
        let (made, key) = organisations::create(&store, new, &[night]).await.unwrap();
        assert_eq!(made.organisation.display_name, "Bella Roma");
        assert_eq!((made.organisation.instructions.as_str(), made.organisation.sessions_max), ("We are polite.", 3));
        assert_eq!(made.opening_hours, [night]);
        let owner = keys::find(&store, &key.secret).await.unwrap().unwrap();
        assert_eq!((owner.organisation, owner.scopes), (made.organisation.id, vec!["admin".to_owned()]));
        let read = organisations::profile(&store.scope(made.organisation.id)).await.unwrap();
        assert_eq!(read, made);
    }

    async fn a_change_with_a_stale_etag_changes_nothing(store: Store) {
        let scope = new_organisation(&store).await;
        let before = organisations::profile(&scope).await.unwrap();
        let etag = before.organisation.etag.clone();
        let change = |name: &str| OrganisationUpdate { display_name: Some(name.into()), ..Default::default() };
        let changed = organisations::update(&scope, change("One"), Some(&[]), Some(&etag)).await.unwrap();
        assert!(changed.organisation.etag != etag && changed.opening_hours.is_empty());
        let stale = organisations::update(&scope, change("Two"), None, Some(&etag)).await;
        assert!(matches!(stale, Err(Error::Conflict(_))), "{stale:?}");
        assert_eq!(organisations::profile(&scope).await.unwrap(), changed);
    }

    async fn all_organisations_are_listed_by_pages_and_only_by_their_ids_without_one(store: Store) {
        let mut made = vec![OrganisationId::DEFAULT];
        for _ in 0..3 {
            made.push(new_organisation(&store).await.organisation());
        }
        let (mut seen, mut token) = (Vec::new(), None);
        loop {
            let page = organisations::list(&store, &PageRequest { size: 2, token }).await.unwrap();
            seen.extend(page.items.into_iter().map(|profile| profile.organisation.id));
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        assert!(made.iter().all(|id| seen.contains(id)), "{seen:?}");
        assert!(seen.is_sorted());
    }
}
