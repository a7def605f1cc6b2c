//! HTTP/1.1 heads: requests and responses, without bodies.
