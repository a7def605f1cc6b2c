//! WebSocket, RFC 6455, both roles, sans-IO.
