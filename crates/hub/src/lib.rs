//! Topics, channels and fan-out, pure: inputs in, outputs out.

#![forbid(unsafe_code)]
