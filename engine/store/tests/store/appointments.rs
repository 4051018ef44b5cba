//! Appointments: once per key, never twice in one place, with a reason to say.

use jiff::{SignedDuration, Timestamp};
use parlance_store::appointments::{
    self, Appointment, AppointmentFilter, AppointmentState, Booking, Change, NewAppointment, NewTime,
};
use parlance_store::{
    AppointmentId, CallId, Error, OrganisationId, PageRequest, Refusal, Scope, Store, organisations,
};

use crate::setup::{in_both_setups, new_call, new_organisation};

/// A Monday morning, long before everything that is booked here.
const NOW: &str = "2026-06-01T08:00:00Z";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn wish(key: &str, start: &str) -> NewAppointment {
    NewAppointment {
        idempotency_key: key.into(),
        call_id: None,
        customer_name: "Ada Lovelace".into(),
        customer_phone: Some("+49 30 1234".into()),
        party_size: 4,
        start: time(start),
        duration: SignedDuration::from_mins(90),
        notes: String::new(),
    }
}

async fn book(scope: &Scope, key: &str, start: &str) -> Booking {
    appointments::book(scope, wish(key, start), time(NOW)).await.unwrap()
}

async fn all(scope: &Scope) -> Vec<Appointment> {
    found(scope, AppointmentFilter::default()).await
}

async fn found(scope: &Scope, filter: AppointmentFilter) -> Vec<Appointment> {
    appointments::list(scope, &filter, &PageRequest::default()).await.unwrap().items
}

async fn cancelled(scope: &Scope, id: AppointmentId) -> Appointment {
    match appointments::cancel(scope, id, None).await.unwrap() {
        Change::Made(appointment) => appointment,
        other => panic!("{other:?}"),
    }
}

async fn reschedule(scope: &Scope, id: AppointmentId, start: &str) -> Change {
    let to = NewTime { start: time(start), duration: None };
    appointments::reschedule(scope, id, to, None, time(NOW)).await.unwrap()
}

pub async fn book_evening(scope: &Scope, call: Option<CallId>) -> Appointment {
    let wanted = NewAppointment { call_id: call, ..wish("evening", "2026-06-05T19:00:00Z") };
    match appointments::book(scope, wanted, time(NOW)).await.unwrap() {
        Booking::Booked(appointment) => appointment,
        other => panic!("{other:?}"),
    }
}

in_both_setups! {
    async fn an_appointment_reads_back_as_it_was_booked(store: Store) {
        let scope = new_organisation(&store).await;
        let call = new_call(&scope).await;
        let booked = book_evening(&scope, Some(call)).await;
        assert_eq!((booked.customer_name.as_str(), booked.party_size), ("Ada Lovelace", 4));
        assert_eq!((booked.start_time, booked.end_time), (time("2026-06-05T19:00:00Z"), time("2026-06-05T20:30:00Z")));
        assert_eq!(all(&scope).await.as_slice(), std::slice::from_ref(&booked));
        assert_eq!(appointments::get(&scope, booked.id).await.unwrap(), booked);
        assert_eq!(booked.update_time, booked.create_time);
    }

    async fn the_same_key_gives_the_same_appointment_and_books_no_second(store: Store) {
        let scope = new_organisation(&store).await;
        let first = book_evening(&scope, None).await;
        let much_later = appointments::book(&scope, wish("evening", "2026-06-05T19:00:00Z"), time("2027-01-01T00:00:00Z"));
        assert_eq!(much_later.await.unwrap(), Booking::AlreadyBooked(first));
        assert_eq!(all(&scope).await.len(), 1);
    }

    async fn a_clash_is_refused_with_the_next_free_time(store: Store) {
        let scope = new_organisation(&store).await;
        book_evening(&scope, None).await;
        let clash = book(&scope, "other", "2026-06-05T18:30:00Z").await;
        let next_free = Some("2026-06-05T20:30:00".parse().unwrap());
        assert_eq!(clash, Booking::Refused(Refusal::Taken { next_free }));
        assert_eq!(all(&scope).await.len(), 1);
        assert!(matches!(book(&scope, "after", "2026-06-05T20:30:00Z").await, Booking::Booked(_)));
    }

    async fn the_past_and_closed_hours_are_refused_and_nothing_is_booked(store: Store) {
        let scope = new_organisation(&store).await;
        let past = book(&scope, "past", "2026-05-31T19:00:00Z").await;
        assert!(matches!(past, Booking::Refused(Refusal::Past { .. })), "{past:?}");
        match book(&scope, "night", "2026-06-05T21:00:00Z").await {
            Booking::Refused(refusal) => assert_eq!(
                refusal.to_string(),
                "On Friday we are open from 11 AM to 10 PM, with the last start at 8:30 PM."
            ),
            other => panic!("{other:?}"),
        }
        assert_eq!(all(&scope).await, []);
    }

    async fn opening_hours_are_those_of_the_organisations_zone(store: Store) {
        let scope = new_organisation(&store).await;
        organisations::set_time_zone(&scope, "America/New_York").await.unwrap();
        let morning_there = book(&scope, "early", "2026-06-05T14:00:00Z").await;
        assert!(matches!(morning_there, Booking::Refused(Refusal::Closed { .. })), "{morning_there:?}");
        assert!(matches!(book(&scope, "evening", "2026-06-06T00:00:00Z").await, Booking::Booked(_)));
    }

    async fn one_organisations_bookings_are_no_matter_to_another(store: Store) {
        let (first, second) = (new_organisation(&store).await, new_organisation(&store).await);
        book_evening(&first, None).await;
        book_evening(&second, None).await;
    }

    async fn of_many_who_want_the_last_place_at_once_exactly_one_gets_it(store: Store) {
        let scope = new_organisation(&store).await;
        organisations::set_appointment_capacity(&scope, 2).await.unwrap();
        book_evening(&scope, None).await;
        let tasks: Vec<_> = (0..8).map(|number| {
            let scope = scope.clone();
            tokio::spawn(async move { book(&scope, &format!("caller {number}"), "2026-06-05T19:30:00Z").await })
        }).collect();
        let mut booked = 0;
        for task in tasks {
            match task.await.unwrap() {
                Booking::Booked(_) => booked += 1,
                other => assert!(matches!(other, Booking::Refused(Refusal::Taken { .. })), "{other:?}"),
            }
        }
        assert_eq!((booked, all(&scope).await.len()), (1, 2));
    }

    async fn of_many_with_one_key_all_get_the_same_appointment(store: Store) {
        let scope = new_organisation(&store).await;
        let tasks: Vec<_> = (0..8).map(|_| {
            let scope = scope.clone();
            tokio::spawn(async move { book(&scope, "once", "2026-06-05T19:30:00Z").await })
        }).collect();
        let (mut new, mut ids) = (0, std::collections::HashSet::new());
        for task in tasks {
            match task.await.unwrap() {
                Booking::Booked(made) => { new += 1; ids.insert(made.id); }
                Booking::AlreadyBooked(made) => { ids.insert(made.id); }
                refused => panic!("{refused:?}"),
            }
        }
        assert_eq!((new, ids.len()), (1, 1));
    }

    async fn a_wish_that_makes_no_sense_is_an_error_and_no_refusal(store: Store) {
        let scope = new_organisation(&store).await;
        let good = wish("x", "2026-06-05T19:00:00Z");
        let senseless = [
            NewAppointment { customer_name: " ".into(), ..good.clone() },
            NewAppointment { party_size: 0, ..good.clone() },
            NewAppointment { duration: SignedDuration::ZERO, ..good.clone() },
            NewAppointment { duration: SignedDuration::from_hours(25), ..good.clone() },
            NewAppointment { start: Timestamp::MAX, ..good.clone() },
        ];
        for wanted in senseless {
            let refused = appointments::book(&scope, wanted, time(NOW)).await;
            assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
        }
        let nobody = store.scope(OrganisationId::new());
        let refused = appointments::book(&nobody, good.clone(), time(NOW)).await;
        assert!(matches!(refused, Err(Error::NotFound("organisation"))), "{refused:?}");
        let no_call = NewAppointment { call_id: Some(CallId::new()), ..good };
        let refused = appointments::book(&scope, no_call, time(NOW)).await;
        assert!(matches!(refused, Err(Error::NotFound("call"))), "{refused:?}");
    }

    async fn pages_go_by_the_start_of_the_appointments(store: Store) {
        let scope = new_organisation(&store).await;
        for (key, day) in [("c", 7), ("a", 5), ("b", 6)] {
            book(&scope, key, &format!("2026-06-0{day}T19:00:00Z")).await;
        }
        let mut request = PageRequest { size: 2, token: None };
        let first = appointments::list(&scope, &AppointmentFilter::default(), &request).await.unwrap();
        request.token = first.next_token.clone();
        let second = appointments::list(&scope, &AppointmentFilter::default(), &request).await.unwrap();
        let starts: Vec<_> = first.items.iter().chain(&second.items).map(|item| item.start_time).collect();
        assert_eq!((first.items.len(), starts.len(), starts.is_sorted()), (2, 3, true));
    }

    async fn lists_go_by_start_call_and_state(store: Store) {
        let scope = new_organisation(&store).await;
        let call = new_call(&scope).await;
        let evening = book_evening(&scope, Some(call)).await;
        book(&scope, "noon", "2026-06-05T12:00:00Z").await;
        let noon = all(&scope).await.remove(0);
        let filter = AppointmentFilter::default;
        let ids = async |filter| found(&scope, filter).await.iter().map(|row| row.id).collect::<Vec<_>>();
        let evening_on = Some(evening.start_time);
        assert_eq!(ids(AppointmentFilter { starts_from: evening_on, ..filter() }).await, [evening.id]);
        assert_eq!(ids(AppointmentFilter { starts_before: evening_on, ..filter() }).await, [noon.id]);
        assert_eq!(ids(AppointmentFilter { call_id: Some(call), ..filter() }).await, [evening.id]);
        assert_eq!(ids(AppointmentFilter { call_id: Some(CallId::new()), ..filter() }).await, []);
        cancelled(&scope, noon.id).await;
        let state = |state| AppointmentFilter { state: Some(state), ..filter() };
        assert_eq!(ids(state(AppointmentState::Booked)).await, [evening.id]);
        assert_eq!(ids(state(AppointmentState::Cancelled)).await, [noon.id]);
    }

    async fn a_cancelled_appointment_stays_in_the_book_but_frees_its_time(store: Store) {
        let scope = new_organisation(&store).await;
        let evening = book_evening(&scope, None).await;
        let gone = cancelled(&scope, evening.id).await;
        assert_eq!((gone.state, gone.start_time), (AppointmentState::Cancelled, evening.start_time));
        assert!(gone.etag != evening.etag && gone.update_time > evening.update_time, "{gone:?}");
        assert_eq!(appointments::cancel(&scope, evening.id, None).await.unwrap(), Change::AlreadyCancelled);
        assert_eq!(reschedule(&scope, evening.id, "2026-06-05T12:00:00Z").await, Change::AlreadyCancelled);
        assert!(matches!(book(&scope, "next", "2026-06-05T19:00:00Z").await, Booking::Booked(_)));
    }

    async fn a_moved_appointment_keeps_its_length_and_frees_its_old_time(store: Store) {
        let scope = new_organisation(&store).await;
        let evening = book_evening(&scope, None).await;
        // Half an hour later: it overlaps nothing but itself.
        let Change::Made(moved) = reschedule(&scope, evening.id, "2026-06-05T19:30:00Z").await else {
            panic!("it was not moved");
        };
        assert_eq!((moved.start_time, moved.end_time), (time("2026-06-05T19:30:00Z"), time("2026-06-05T21:00:00Z")));
        assert!(moved.etag != evening.etag && moved.customer_name == evening.customer_name, "{moved:?}");
        assert!(matches!(book(&scope, "before", "2026-06-05T18:00:00Z").await, Booking::Booked(_)));
        let shorter = NewTime { start: moved.start_time, duration: Some(SignedDuration::from_mins(30)) };
        let Change::Made(short) = appointments::reschedule(&scope, moved.id, shorter, None, time(NOW)).await.unwrap()
        else { panic!("it was not shortened") };
        assert_eq!(short.end_time, time("2026-06-05T20:00:00Z"));
    }

    async fn a_move_is_refused_by_the_rules_of_booking_and_changes_nothing(store: Store) {
        let scope = new_organisation(&store).await;
        let evening = book_evening(&scope, None).await;
        book(&scope, "noon", "2026-06-05T12:00:00Z").await;
        let before = all(&scope).await;
        let refusals = [
            reschedule(&scope, evening.id, "2026-05-31T19:00:00Z").await,
            reschedule(&scope, evening.id, "2026-06-05T21:00:00Z").await,
            reschedule(&scope, evening.id, "2026-06-05T12:30:00Z").await,
        ];
        let [Change::Refused(Refusal::Past { .. }), Change::Refused(Refusal::Closed { .. }),
             Change::Refused(Refusal::Taken { next_free: Some(_) })] = &refusals
        else { panic!("{refusals:?}") };
        assert_eq!(all(&scope).await, before);
        let endless = NewTime { start: time("2026-06-05T12:30:00Z"), duration: Some(SignedDuration::from_hours(25)) };
        let senseless = appointments::reschedule(&scope, evening.id, endless, None, time(NOW)).await;
        assert!(matches!(senseless, Err(Error::Invalid { field: "duration", .. })), "{senseless:?}");
    }

    async fn of_two_who_move_to_the_last_place_at_once_exactly_one_gets_it(store: Store) {
        let scope = new_organisation(&store).await;
        book(&scope, "noon", "2026-06-05T12:00:00Z").await;
        book_evening(&scope, None).await;
        let tasks: Vec<_> = all(&scope).await.into_iter().map(|appointment| {
            let scope = scope.clone();
            tokio::spawn(async move { reschedule(&scope, appointment.id, "2026-06-05T15:00:00Z").await })
        }).collect();
        let mut moved = 0;
        for task in tasks {
            match task.await.unwrap() {
                Change::Made(_) => moved += 1,
                other => assert!(matches!(other, Change::Refused(Refusal::Taken { .. })), "{other:?}"),
            }
        }
        assert_eq!(moved, 1);
    }

    async fn a_stale_etag_neither_cancels_nor_moves(store: Store) {
        let scope = new_organisation(&store).await;
        let evening = book_evening(&scope, None).await;
        let Change::Made(moved) = reschedule(&scope, evening.id, "2026-06-05T19:30:00Z").await else {
            panic!("it was not moved");
        };
        let old = Some(evening.etag.as_str());
        let late = appointments::cancel(&scope, evening.id, old).await;
        assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
        let to = NewTime { start: evening.start_time, duration: None };
        let late = appointments::reschedule(&scope, evening.id, to, old, time(NOW)).await;
        assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
        assert_eq!(all(&scope).await.as_slice(), std::slice::from_ref(&moved));
        let fresh = appointments::cancel(&scope, evening.id, Some(&moved.etag)).await;
        assert!(matches!(fresh, Ok(Change::Made(_))), "{fresh:?}");
    }
}
