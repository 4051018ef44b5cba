//! What a refusal carries beside its code: the reason and the fields, as `google.rpc` has them.

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// The stable reason of a refusal; empty if it has none.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map_or(String::new(), |info| info.reason)
}

/// The fields a refusal names.
pub fn fields(status: &Status) -> Vec<String> {
    let named = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    named.into_iter().map(|violation| violation.field).collect()
}

/// Checks code and reason at once.
///
/// # Panics
/// When the refusal is another one.
#[track_caller]
pub fn assert_refused(status: &Status, code: Code, reason: &str) {
    assert_eq!((status.code(), self::reason(status).as_str()), (code, reason), "{status:?}");
}

/// Checks that a refusal is INVALID_ARGUMENT and names just these fields.
///
/// # Panics
/// When it is another refusal or names other fields.
#[track_caller]
pub fn assert_bad_fields(status: &Status, fields: &[&str]) {
    assert_refused(status, Code::InvalidArgument, "INVALID_FIELD");
    let mut named = self::fields(status);
    named.sort();
    let mut wanted: Vec<_> = fields.iter().map(ToString::to_string).collect();
    wanted.sort();
    assert_eq!(named, wanted, "{status:?}");
}
