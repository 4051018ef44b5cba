//! Organisations: the default one, and what can be set on one.

use parlance_store::organisations::{self, OpeningHours};
use parlance_store::{Error, OrganisationId, Store};

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
}
