//! What the stand-ins promise.
