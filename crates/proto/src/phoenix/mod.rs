//! Phoenix Channels: the messages of V1 and V2, JSON and binary.
