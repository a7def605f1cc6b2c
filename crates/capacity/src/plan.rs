//! What so many connections need, and the lines that give it to a machine.
//!
//! Everything here is arithmetic on its arguments, so it holds for machines that are not this one. What
//! this machine has is for a diagnosis to say, and what would change it goes through [`recipe`].

pub mod recipe;
