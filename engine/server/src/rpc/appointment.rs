//! `AppointmentService`: reads, cancels and reschedules appointments.

mod list;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parlance_proto::v1;
use parlance_proto::v1::appointment_service_server::AppointmentService;
use parlance_store::appointments::{self, Change, NewTime};
use parlance_store::{AppointmentId, Error as StoreError, Refusal as BookingRefusal};
use tonic::{Request, Response, Status};

use super::perform::{Done, perform};
use super::{auth, name, page};
use crate::convert::{appointment as convert, length, moment};
use crate::engine::Engine;
use crate::status::{Refusal, Violations};

const LONGEST: SignedDuration = SignedDuration::from_hours(24);
const TIME: &str = "must be a time in the years 1 to 9999";

/// The service.
pub struct Appointments {
    engine: Arc<Engine>,
}

impl Appointments {
    /// Appointments are kept by `engine`'s store.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

#[tonic::async_trait]
impl AppointmentService for Appointments {
    async fn get_appointment(
        &self,
        request: Request<v1::GetAppointmentRequest>,
    ) -> Result<Response<v1::GetAppointmentResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let id = name::appointment("name", &request.get_ref().name)?;
        let row = appointments::get(&scope, id).await.map_err(|error| refused(error, id))?;
        Ok(Response::new(v1::GetAppointmentResponse { appointment: Some(convert::appointment(&row)) }))
    }

    async fn list_appointments(
        &self,
        request: Request<v1::ListAppointmentsRequest>,
    ) -> Result<Response<v1::ListAppointmentsResponse>, Status> {
        let scope = auth::scope(&self.engine.store, &request)?;
        let request = request.into_inner();
        let filter = list::filter(&request)?;
        let wanted = page::request(request.page_size, request.page_token)?;
        let page = appointments::list(&scope, &filter, &wanted).await.map_err(page::refused)?;
        Ok(Response::new(v1::ListAppointmentsResponse {
            appointments: page.items.iter().map(convert::appointment).collect(),
            next_page_token: page.next_token.unwrap_or_default(),
        }))
    }

    async fn cancel_appointment(
        &self,
        request: Request<v1::CancelAppointmentRequest>,
    ) -> Result<Response<v1::CancelAppointmentResponse>, Status> {
        perform(&self.engine, request, |scope, request| async move {
            let id = name::appointment("name", &request.name)?;
            let change = appointments::cancel(&scope, id, name::given(&request.etag)).await;
            let appointment = outcome(change.map_err(|error| refused(error, id))?, id)?;
            let answer = v1::CancelAppointmentResponse { appointment: Some(appointment) };
            Ok(Done::new(request.name, answer))
        })
        .await
    }

    async fn reschedule_appointment(
        &self,
        request: Request<v1::RescheduleAppointmentRequest>,
    ) -> Result<Response<v1::RescheduleAppointmentResponse>, Status> {
        perform(&self.engine, request, |scope, request| async move {
            let id = name::appointment("name", &request.name)?;
            let to = new_time(&request)?;
            let etag = name::given(&request.etag);
            let change = appointments::reschedule(&scope, id, to, etag, Timestamp::now()).await;
            let appointment = outcome(change.map_err(|error| refused(error, id))?, id)?;
            let answer = v1::RescheduleAppointmentResponse { appointment: Some(appointment) };
            Ok(Done::new(request.name, answer))
        })
        .await
    }
}

fn optional_moment(
    field: &str,
    wire: Option<&prost_types::Timestamp>,
    bad: &mut Violations,
) -> Option<Timestamp> {
    let at = moment(wire?);
    if at.is_none() {
        bad.add(field, TIME);
    }
    at
}

fn new_time(request: &v1::RescheduleAppointmentRequest) -> Result<NewTime, Refusal> {
    let mut bad = Violations::default();
    if request.start_time.is_none() {
        bad.add("start_time", "is required");
    }
    let start = optional_moment("start_time", request.start_time.as_ref(), &mut bad);
    let duration = request.duration.as_ref().and_then(|wire| {
        let duration = length(wire).and_then(|length| SignedDuration::try_from(length).ok());
        let fits = duration.filter(|length| *length > SignedDuration::ZERO && *length <= LONGEST);
        if fits.is_none() {
            bad.add("duration", "must be above zero and at most 24 h");
        }
        fits
    });
    match start {
        Some(start) if bad.is_empty() => Ok(NewTime { start, duration }),
        _ => Err(bad.into()),
    }
}

fn outcome(change: Change, id: AppointmentId) -> Result<v1::Appointment, Refusal> {
    let wrong = |reason, message| Err(Refusal::WrongState { reason, message });
    match change {
        Change::Made(row) => Ok(convert::appointment(&row)),
        Change::AlreadyCancelled => {
            wrong(v1::ErrorReason::AppointmentCancelled, format!("appointments/{id} is cancelled already"))
        }
        Change::Refused(refusal) => wrong(
            match refusal {
                BookingRefusal::Past { .. } => v1::ErrorReason::TimePast,
                BookingRefusal::Closed { .. } => v1::ErrorReason::TimeClosed,
                BookingRefusal::Taken { .. } => v1::ErrorReason::TimeTaken,
            },
            refusal.to_string(),
        ),
    }
}

/// What the store said about this appointment.
fn refused(error: StoreError, id: AppointmentId) -> Refusal {
    match error {
        StoreError::NotFound("appointment") => Refusal::NotFound { name: format!("appointments/{id}") },
        StoreError::Conflict(_) => Refusal::EtagMismatch { name: format!("appointments/{id}") },
        // The one thing left to be wrong: an end after the last year there is.
        StoreError::Invalid { field: "start", message } => Violations::one("start_time", message).into(),
        other => other.into(),
    }
}
