//! Server-sent events: the `text/event-stream` format ([WHATWG HTML §9.2]).
//!
//! [WHATWG HTML §9.2]: https://html.spec.whatwg.org/multipage/server-sent-events.html

mod event;

pub use event::{Event, EventError, data, heartbeat};
