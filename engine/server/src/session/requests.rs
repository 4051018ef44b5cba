//! The requests to the model that are under way, by the reply they are for.
//!
//! A reply may be asked for again, after its tools or an empty answer, while the request before still has its last
//! word to say (what it used). What an older request tells is not the reply's any more. Enter at [`Requests::begun`].

use std::collections::HashMap;

use parlance_conversation::ReplyId;
use parlance_providers::llm;

/// A request's place among all of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(u64);

/// Requests under way; what is dropped is cancelled.
#[derive(Default)]
pub struct Requests {
    made: u64,
    live: HashMap<ReplyId, Vec<(RequestId, llm::Response)>>,
}

impl Requests {
    /// The id of the next request.
    pub fn make_id(&mut self) -> RequestId {
        self.made += 1;
        RequestId(self.made)
    }

    /// A request was begun for this reply, and is the one that counts from now on.
    pub fn begun(&mut self, reply: ReplyId, request: RequestId, response: llm::Response) {
        self.live.entry(reply).or_default().push((request, response));
    }

    /// Takes what a request told. False if a newer one was begun for its reply, so that it is no news of the reply.
    pub fn told(&mut self, reply: ReplyId, request: RequestId, event: &llm::Event) -> bool {
        let Some(requests) = self.live.get_mut(&reply) else { return true };
        let newest = requests.iter().all(|(other, _)| *other <= request);
        if matches!(event, llm::Event::Finished { .. } | llm::Event::Failed(_)) {
            requests.retain(|(other, _)| *other != request);
        }
        if requests.is_empty() {
            self.live.remove(&reply);
        }
        newest
    }

    /// Cancels all requests for this reply.
    pub fn cancel(&mut self, reply: ReplyId) {
        self.live.remove(&reply);
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_request_for_a_reply_tells_is_no_news_of_it() {
        let finished = || llm::Event::Finished { usage: llm::Usage::default() };
        let (mut requests, reply) = (Requests::default(), ReplyId(1));
        let (first, second) = (requests.make_id(), requests.make_id());
        requests.begun(reply, first, Box::new(()));
        assert!(requests.told(reply, first, &llm::Event::ToolCalls(Vec::new())));
        requests.begun(reply, second, Box::new(()));
        assert!(!requests.told(reply, first, &finished()), "its tools were quicker than its last word");
        assert!(requests.told(reply, second, &llm::Event::Text("At nine.".into())));
        assert!(requests.told(reply, second, &finished()));
        assert!(requests.is_empty());
        requests.begun(reply, first, Box::new(()));
        requests.cancel(reply);
        assert!(requests.is_empty());
    }
}
