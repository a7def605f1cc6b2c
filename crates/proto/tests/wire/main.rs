//! The wire formats through their public face. Each file is a claim.

mod bodies;
mod corpus;
mod frames;
mod phoenix_bodies;
mod script;
mod socketio_bodies;
mod streams;

mod echo_returns_every_message;
mod every_split_reads_the_same;
mod limits_are_reached;
mod parsers_keep_their_promises;
mod phoenix_messages_come_back;
mod phoenix_writes_its_vectors;
mod tungstenite_agrees;
mod violations_end_the_connection;
