//! What lists share beside pages: sides of a point in time, and an order by one column and then the id.

use jiff::Timestamp;

/// A side of a point in time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Range {
    /// Before it.
    Before(Timestamp),
    /// Before it or then.
    Until(Timestamp),
    /// Then or after it.
    From(Timestamp),
    /// After it.
    After(Timestamp),
}

/// Leaves a query what lies on that side.
macro_rules! within {
    ($query:expr, $column:expr, $range:expr) => {
        match *$range {
            $crate::Range::Before(at) => $query.filter($column.lt($crate::time::PgTime(at))),
            $crate::Range::Until(at) => $query.filter($column.le($crate::time::PgTime(at))),
            $crate::Range::From(at) => $query.filter($column.ge($crate::time::PgTime(at))),
            $crate::Range::After(at) => $query.filter($column.gt($crate::time::PgTime(at))),
        }
    };
}

/// Orders a query by a column and begins after the last one of the page before.
macro_rules! ordered {
    ($query:expr, ($column:expr, $id:expr), $after:expr, $descending:expr) => {
        match ($after, $descending) {
            (None, false) => $query.order(($column, $id)),
            (None, true) => $query.order(($column.desc(), $id.desc())),
            (Some((value, last)), false) => $query
                .filter($column.gt(value.clone()).or($column.eq(value).and($id.gt(last))))
                .order(($column, $id)),
            (Some((value, last)), true) => $query
                .filter($column.lt(value.clone()).or($column.eq(value).and($id.lt(last))))
                .order(($column.desc(), $id.desc())),
        }
    };
}

pub(crate) use {ordered, within};
