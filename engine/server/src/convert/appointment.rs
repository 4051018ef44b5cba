//! Appointments: rows of the store in the contract's words.

use parlance_proto::v1;
use parlance_store::appointments::{Appointment, AppointmentState};

use super::timestamp;

/// An appointment.
pub fn appointment(row: &Appointment) -> v1::Appointment {
    v1::Appointment {
        name: format!("appointments/{}", row.id),
        call: row.call_id.map_or(String::new(), |call| format!("calls/{call}")),
        customer_name: row.customer_name.clone(),
        customer_phone: row.customer_phone.clone().unwrap_or_default(),
        party_size: row.party_size,
        start_time: Some(timestamp(row.start_time)),
        end_time: Some(timestamp(row.end_time)),
        notes: row.notes.clone(),
        state: match row.state {
            AppointmentState::Booked => v1::AppointmentState::Booked,
            AppointmentState::Cancelled => v1::AppointmentState::Cancelled,
        }
        .into(),
        create_time: Some(timestamp(row.create_time)),
        update_time: Some(timestamp(row.update_time)),
        etag: row.etag.clone(),
        resource: row.resource_id.map(super::resource::name).unwrap_or_default(),
    }
}

/// A state from the wire: `Ok(None)` if it is not set, `Err` if there is no such state.
pub fn state(wire: i32) -> Result<Option<AppointmentState>, prost::UnknownEnumValue> {
    Ok(match v1::AppointmentState::try_from(wire)? {
        v1::AppointmentState::Unspecified => None,
        v1::AppointmentState::Booked => Some(AppointmentState::Booked),
        v1::AppointmentState::Cancelled => Some(AppointmentState::Cancelled),
    })
}
