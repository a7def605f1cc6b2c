//! What is on its way out: the frames that the kernel reads until it has answered.

use io_uring::{opcode, squeue::Entry, types::Fixed};
use proto::Frame;

use super::word::{What, Word};
use crate::ConnId;

/// Never wait in the kernel: what finds no room is answered with `EAGAIN`, so a send is answered as
/// soon as it is submitted. And no SIGPIPE.
const FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// The sends that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Sends {
    table: Vec<Option<Send>>,
    vacant: Vec<u32>,
}

#[derive(Debug)]
struct Send {
    conn: ConnId,
    #[allow(dead_code, reason = "kept for the kernel, which reads them")]
    frames: Frames,
}

/// The frames, kept where they are; a clone of a frame is a count of references.
#[derive(Debug)]
#[allow(dead_code, reason = "kept for the kernel, which reads them")]
enum Frames {
    One(Frame),
    Many(Box<Message>),
}

/// `struct msghdr` and all that it points to, `man 2 sendmsg`.
struct Message {
    head: libc::msghdr,
    parts: Vec<libc::iovec>,
    _frames: Vec<Frame>,
}

impl Sends {
    /// Takes up a send and returns the request, which names only memory that is here until
    /// [`Sends::answered`].
    pub(super) fn begin(
        &mut self,
        conn: ConnId,
        slot: u32,
        frames: &[Frame],
        skip: usize,
    ) -> Entry {
        let (frames, request) = match frames {
            [frame] => {
                let bytes = &frame.as_bytes()[skip..];
                let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                let send = opcode::Send::new(Fixed(slot), bytes.as_ptr(), len).flags(FLAGS);
                (Frames::One(frame.clone()), send.build())
            }
            frames => {
                let message = Message::new(frames, skip);
                let send =
                    opcode::SendMsg::new(Fixed(slot), &raw const message.head).flags(FLAGS as u32);
                (Frames::Many(message), send.build())
            }
        };
        let send = Some(Send { conn, frames });
        let index = match self.vacant.pop() {
            Some(index) => {
                self.table[index as usize] = send;
                index
            }
            None => {
                self.table.push(send);
                self.table.len() as u32 - 1
            }
        };
        request.user_data(Word::new(What::Sent, index, slot).to_u64())
    }

    /// Lets go of a send's frames and returns whose it was.
    pub(super) fn answered(&mut self, index: u32) -> Option<ConnId> {
        let send = self.table.get_mut(index as usize)?.take()?;
        self.vacant.push(index);
        Some(send.conn)
    }

    pub(super) const fn count(&self) -> usize {
        self.table.len() - self.vacant.len()
    }
}

impl Message {
    fn new(frames: &[Frame], skip: usize) -> Box<Self> {
        let skips = std::iter::once(skip).chain(std::iter::repeat(0));
        let parts = frames.iter().zip(skips).map(|(frame, skip)| {
            let bytes = &frame.as_bytes()[skip..];
            libc::iovec {
                // The kernel only reads it; the type is the one of recvmsg(2), too.
                iov_base: bytes.as_ptr().cast_mut().cast(),
                iov_len: bytes.len(),
            }
        });
        let mut message = Box::new(Self {
            head: libc::msghdr {
                msg_name: std::ptr::null_mut(),
                msg_namelen: 0,
                msg_iov: std::ptr::null_mut(),
                msg_iovlen: 0,
                msg_control: std::ptr::null_mut(),
                msg_controllen: 0,
                msg_flags: 0,
            },
            parts: parts.collect(),
            _frames: frames.to_vec(),
        });
        message.head.msg_iov = message.parts.as_mut_ptr();
        message.head.msg_iovlen = message.parts.len();
        message
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("parts", &self.parts.len())
            .finish_non_exhaustive()
    }
}
