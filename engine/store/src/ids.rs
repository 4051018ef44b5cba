//! The ids of rows, a type each, so that a call's id is never taken for an organisation's.
//!
//! Ids made here are UUIDs version 7: sorted by the time they were made.

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Error, Result};

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, AsExpression,
            FromSqlRow,
        )]
        #[diesel(sql_type = sql_types::Uuid)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id, later in order than all made before on this machine.
            #[allow(clippy::new_without_default, reason = "a default that differs each time would mislead")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }

        impl ToSql<sql_types::Uuid, Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                <Uuid as ToSql<sql_types::Uuid, Pg>>::to_sql(&self.0, out)
            }
        }

        impl FromSql<sql_types::Uuid, Pg> for $name {
            fn from_sql(bytes: PgValue<'_>) -> deserialize::Result<Self> {
                <Uuid as FromSql<sql_types::Uuid, Pg>>::from_sql(bytes).map(Self)
            }
        }
    };
}

uuid_id!(
    /// An organisation: the tenant that owns a row.
    OrganisationId
);
uuid_id!(
    /// A conversation, live or over.
    CallId
);
uuid_id!(
    /// One run of a tool.
    InvocationId
);
uuid_id!(
    /// Something one node asks of the node that a call lives on.
    CommandId
);
uuid_id!(
    /// A booking.
    AppointmentId
);
uuid_id!(
    /// A person or room that appointments are booked on.
    ResourceId
);
uuid_id!(
    /// An API key (not its secret).
    KeyId
);
uuid_id!(
    /// An organisation's own key of a vendor.
    ProviderKeyId
);
uuid_id!(
    /// An organisation's secret that tools name.
    ToolSecretId
);
uuid_id!(
    /// An entry of the audit log.
    AuditEntryId
);
uuid_id!(
    /// A process that holds calls; a new one each start, so that a node never takes itself for who it was before.
    NodeId
);

impl OrganisationId {
    /// The organisation made at first start. The id is fixed, so that any node finds it without asking.
    pub const DEFAULT: Self = Self(Uuid::from_u128(1));
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, AsExpression, FromSqlRow,
        )]
        #[diesel(sql_type = sql_types::Text)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl ToSql<sql_types::Text, Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                <str as ToSql<sql_types::Text, Pg>>::to_sql(&self.0, out)
            }
        }

        impl FromSql<sql_types::Text, Pg> for $name {
            fn from_sql(bytes: PgValue<'_>) -> deserialize::Result<Self> {
                <String as FromSql<sql_types::Text, Pg>>::from_sql(bytes).map(Self)
            }
        }
    };
}

text_id!(
    /// An agent's id, chosen by its owner: 1 to 63 characters of `a-z`, `0-9` and `-`, unique per organisation.
    AgentId
);
text_id!(
    /// A phone number as E.164 has it, without its `+`: 7 to 15 digits, the first not 0.
    PhoneNumberId
);

impl AgentId {
    /// Checks an id.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `agent_id` when it is empty, too long or holds other characters.
    pub fn parse(text: &str) -> Result<Self> {
        let fits = (1..=63).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::invalid("agent_id", "must be 1 to 63 characters of a-z, 0-9 and -"))
        }
    }
}

impl PhoneNumberId {
    /// Checks the digits of a number.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `phone_number_id` when they are too few, too many, begin with 0 or are none.
    pub fn parse(digits: &str) -> Result<Self> {
        let fits = (7..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|b| b.is_ascii_digit());
        if fits {
            Ok(Self(digits.to_owned()))
        } else {
            Err(Error::invalid("phone_number_id", "must be 7 to 15 digits, the first not 0"))
        }
    }

    /// Checks a number as E.164 has it, such as `+493012345678`.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `number` when it is none.
    pub fn from_number(number: &str) -> Result<Self> {
        let digits = number.strip_prefix('+').and_then(|digits| Self::parse(digits).ok());
        digits.ok_or_else(|| Error::invalid("number", "must be + and 7 to 15 digits, the first not 0"))
    }

    /// The number with its `+`.
    pub fn number(&self) -> String {
        format!("+{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_number_is_a_plus_and_seven_to_fifteen_digits() {
        for number in ["+4930123", "+493012345678", "+123456789012345"] {
            assert_eq!(PhoneNumberId::from_number(number).unwrap().number(), number);
        }
        let none = [
            "",
            "+",
            "493012345678",
            "+0301234567",
            "+493012",
            "+1234567890123456",
            "+49 30 123456",
            "+49３012345",
        ];
        for number in none {
            let refused = PhoneNumberId::from_number(number);
            assert!(matches!(refused, Err(Error::Invalid { field: "number", .. })), "{number}: {refused:?}");
        }
    }
}
