//! The straight way through a call.

use crate::agents::booking;
use crate::session::Session;

#[test]
fn a_flow_greets_asks_books_and_says_goodbye() {
    let mut call = Session::new(booking());
    call.says(4_000, 4_600, "Saturday please").says(9_000, 9_400, "yes please").run(30_000);
    call.in_order(&[
        "reply r1 greeting",
        "say r1 Hello.",
        "expect [{\"options\"",
        "release r1",
        "said 1 agent: Hello.",
        "over r1 heard",
        "turn t1 from 4000",
        "ended t1 value_complete",
        "said 2 caller: Saturday please",
        "reply r2 answer",
        "say r2 So Saturday,",
        "expect",
        "release r2",
        "waterfall t1",
        "over r2 heard",
        "ended t2",
        "say r3 One moment please.",
        "tool i1 book",
        "run i1 book {\"day\":\"Saturday\"}",
        "release r3",
        "tool over i1",
        "say r3 Your table is booked.",
        "over r3 heard",
        "ended call agent_ended",
        "end agent_ended",
    ]);
}
