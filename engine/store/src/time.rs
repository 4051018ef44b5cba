//! Points in time at the edge to SQL: `timestamptz` is [`jiff::Timestamp`] everywhere else.
//!
//! Postgres keeps microseconds since 2000; whatever is finer is cut off here and only here.

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::data_types::PgTimestamp;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::{Nullable, Timestamptz};
use jiff::Timestamp;

/// Microseconds from 1970 to 2000, UTC: where Postgres begins to count.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// A `timestamptz` column.
#[derive(Debug, Clone, Copy, AsExpression, FromSqlRow)]
#[diesel(sql_type = Timestamptz)]
pub struct PgTime(pub Timestamp);

/// A `timestamptz` column that may be null.
#[derive(Debug, Clone, Copy, FromSqlRow)]
pub struct PgTimeOrNull(pub Option<Timestamp>);

impl From<PgTime> for Timestamp {
    fn from(time: PgTime) -> Self {
        time.0
    }
}

impl From<PgTimeOrNull> for Option<Timestamp> {
    fn from(time: PgTimeOrNull) -> Self {
        time.0
    }
}

impl ToSql<Timestamptz, Pg> for PgTime {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        let since_2000 = PgTimestamp(self.0.as_microsecond() - POSTGRES_EPOCH_US);
        ToSql::<Timestamptz, Pg>::to_sql(&since_2000, &mut out.reborrow())
    }
}

impl FromSql<Timestamptz, Pg> for PgTime {
    fn from_sql(bytes: PgValue<'_>) -> deserialize::Result<Self> {
        let PgTimestamp(since_2000) = FromSql::<Timestamptz, Pg>::from_sql(bytes)?;
        let since_1970 = since_2000.checked_add(POSTGRES_EPOCH_US).ok_or("timestamp out of range")?;
        Ok(Self(Timestamp::from_microsecond(since_1970)?))
    }
}

impl FromSql<Nullable<Timestamptz>, Pg> for PgTimeOrNull {
    fn from_sql(bytes: PgValue<'_>) -> deserialize::Result<Self> {
        PgTime::from_sql(bytes).map(|time| Self(Some(time.0)))
    }

    fn from_nullable_sql(bytes: Option<PgValue<'_>>) -> deserialize::Result<Self> {
        bytes.map_or(Ok(Self(None)), Self::from_sql)
    }
}
