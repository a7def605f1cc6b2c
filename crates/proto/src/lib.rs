//! Wire formats, pure: WebSocket, HTTP heads, Phoenix Channels.

#![forbid(unsafe_code)]
