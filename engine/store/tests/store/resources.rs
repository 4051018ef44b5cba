//! Resources: an appointment gets the first that is active and free, and nobody gets one twice.

use jiff::{SignedDuration, Timestamp};
use parlance_store::appointments::{self, Appointment, Booking, Change, NewAppointment, NewTime};
use parlance_store::resources::{
    self, Deletion, NewResource, Resource, ResourceKind, ResourceState, ResourceUpdate,
};
use parlance_store::{Error, PageRequest, ResourceId, Scope, Store};

use crate::setup::{in_both_setups, new_organisation};

const NOW: &str = "2026-06-01T08:00:00Z";
const EVENING: &str = "2026-06-05T19:00:00Z";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub async fn new_resource(scope: &Scope, display_name: &str) -> Resource {
    at_position(scope, display_name, 0).await
}

async fn at_position(scope: &Scope, display_name: &str, position: i32) -> Resource {
    let new = NewResource {
        display_name: display_name.into(),
        kind: ResourceKind::Person,
        state: ResourceState::Active,
        position,
    };
    resources::create(scope, new).await.unwrap()
}

async fn book(scope: &Scope, key: &str, start: &str) -> Booking {
    let wanted = NewAppointment {
        idempotency_key: key.into(),
        call_id: None,
        customer_name: "Ada Lovelace".into(),
        customer_phone: None,
        party_size: 2,
        start: time(start),
        duration: SignedDuration::from_mins(90),
        notes: String::new(),
    };
    appointments::book(scope, wanted, time(NOW)).await.unwrap()
}

async fn booked(scope: &Scope, key: &str, start: &str) -> Appointment {
    match book(scope, key, start).await {
        Booking::Booked(appointment) => appointment,
        other => panic!("{other:?}"),
    }
}

async fn moved(scope: &Scope, appointment: &Appointment, start: &str) -> Option<ResourceId> {
    let to = NewTime { start: time(start), duration: None };
    match appointments::reschedule(scope, appointment.id, to, None, time(NOW)).await.unwrap() {
        Change::Made(moved) => moved.resource_id,
        other => panic!("{other:?}"),
    }
}

async fn deactivate(scope: &Scope, resource: &Resource) {
    let change = ResourceUpdate { state: Some(ResourceState::Inactive), ..Default::default() };
    resources::update(scope, resource.id, change, None).await.unwrap();
}

in_both_setups! {
    async fn the_first_active_one_in_order_is_booked_then_the_next(store: Store) {
        let scope = new_organisation(&store).await;
        let second = at_position(&scope, "Bob", 2).await;
        let first = at_position(&scope, "Anna", 1).await;
        let away = at_position(&scope, "Zoe", 0).await;
        deactivate(&scope, &away).await;
        assert_eq!(booked(&scope, "a", EVENING).await.resource_id, Some(first.id));
        assert_eq!(booked(&scope, "b", EVENING).await.resource_id, Some(second.id));
        assert!(matches!(book(&scope, "c", EVENING).await, Booking::Refused(_)));
        assert_eq!(booked(&scope, "d", "2026-06-05T20:30:00Z").await.resource_id, Some(first.id));
    }

    async fn of_twenty_at_once_three_resources_get_one_appointment_each(store: Store) {
        let scope = new_organisation(&store).await;
        for name in ["Anna", "Bob", "Cleo"] {
            new_resource(&scope, name).await;
        }
        let mut booking = tokio::task::JoinSet::new();
        for number in 0..20 {
            let scope = scope.clone();
            booking.spawn(async move { book(&scope, &number.to_string(), EVENING).await });
        }
        let mut got: Vec<_> = booking.join_all().await.into_iter().filter_map(|outcome| match outcome {
            Booking::Booked(appointment) => appointment.resource_id,
            _ => None,
        }).collect();
        got.sort();
        got.dedup();
        assert_eq!(got.len(), 3, "each one once: {got:?}");
        let all = appointments::list(&scope, &Default::default(), &PageRequest::default()).await.unwrap();
        assert_eq!(all.items.len(), 3);
    }

    async fn who_moves_keeps_the_resource_if_it_is_free_and_gets_another_if_not(store: Store) {
        let scope = new_organisation(&store).await;
        let (anna, bob) = (new_resource(&scope, "Anna").await, new_resource(&scope, "Bob").await);
        booked(&scope, "a", EVENING).await;
        let mine = booked(&scope, "b", EVENING).await;
        assert_eq!(mine.resource_id, Some(bob.id));
        assert_eq!(moved(&scope, &mine, "2026-06-06T19:00:00Z").await, Some(bob.id));
        deactivate(&scope, &bob).await;
        assert_eq!(appointments::get(&scope, mine.id).await.unwrap().resource_id, Some(bob.id));
        assert_eq!(moved(&scope, &mine, "2026-06-06T18:00:00Z").await, Some(anna.id));
    }

    async fn one_with_appointments_to_come_stays_and_past_ones_let_go_of_it(store: Store) {
        let scope = new_organisation(&store).await;
        let anna = new_resource(&scope, "Anna").await;
        let appointment = booked(&scope, "a", EVENING).await;
        let delete = |now: &str| resources::delete(&scope, anna.id, None, time(now));
        assert_eq!(delete(NOW).await.unwrap(), Deletion::InUse(1));
        let stale = resources::delete(&scope, anna.id, Some("stale"), time(NOW)).await;
        assert!(matches!(stale, Err(Error::Conflict(_))), "{stale:?}");
        assert_eq!(delete("2026-06-05T20:30:00Z").await.unwrap(), Deletion::Made);
        assert_eq!(appointments::get(&scope, appointment.id).await.unwrap().resource_id, None);
        assert!(matches!(delete(NOW).await, Err(Error::NotFound("resource"))));
    }

    async fn without_any_the_capacity_counts(store: Store) {
        let scope = new_organisation(&store).await;
        assert_eq!(booked(&scope, "a", EVENING).await.resource_id, None);
        assert!(matches!(book(&scope, "b", EVENING).await, Booking::Refused(_)));
        new_resource(&scope, "Anna").await;
        assert!(matches!(book(&scope, "b", EVENING).await, Booking::Refused(_)), "the first will need Anna");
        new_resource(&scope, "Bob").await;
        assert!(matches!(book(&scope, "b", EVENING).await, Booking::Booked(_)));
    }

    async fn they_are_listed_in_their_order_by_pages(store: Store) {
        let scope = new_organisation(&store).await;
        for (name, position) in [("Cleo", 7), ("Anna", 0), ("Bob", 0)] {
            at_position(&scope, name, position).await;
        }
        let (mut names, mut token) = (Vec::new(), None);
        loop {
            let page = resources::list(&scope, &Default::default(), &PageRequest { size: 1, token }).await.unwrap();
            names.extend(page.items.into_iter().map(|resource| resource.display_name));
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(names, ["Anna", "Bob", "Cleo"]);
    }
}
