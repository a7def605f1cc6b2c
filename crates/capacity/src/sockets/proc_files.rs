//! Lists of sockets from `/proc/net/tcp` and `/proc/net/tcp6`, where netlink is refused.

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
    time::Instant,
};

use rustix::param::page_size;

use super::{
    Dump, Family, Filter, Socket, SocketsError, State, States,
    lines::{Line, Lines, parse_line},
};

/// More than the kernel needs for a line; it pads those of IPv4 to 150 bytes.
const LINE_ROOM_BYTES: usize = 256;

/// After so many lines the clock is looked at.
const LINES_PER_LOOK: u64 = 64;

/// The two files.
#[derive(Debug)]
pub(super) struct ProcFiles {
    folder: PathBuf,
    lines: Lines,
}

impl ProcFiles {
    /// The files of a folder, usually `/proc/net`; fails if there are none to read.
    pub(super) fn open(folder: &Path) -> Result<Self, SocketsError> {
        let files = Self {
            folder: folder.to_owned(),
            lines: Lines::default(),
        };
        files.file(Family::V4)?;
        Ok(files)
    }

    /// Hands out the sockets of one family.
    pub(super) fn list(
        &mut self,
        family: Family,
        filter: &Filter,
        deadline: Instant,
        each: &mut impl FnMut(Socket),
    ) -> Result<Dump, SocketsError> {
        let mut dump = Dump::default();
        let Some(file) = self.file(family)? else {
            return Ok(dump);
        };
        let mut listing = Listing::new(file);
        let path = self.path(family);
        self.lines.clear();
        // The first line is the heading.
        for number in 0_u64.. {
            if number.is_multiple_of(LINES_PER_LOOK) && Instant::now() >= deadline {
                return Err(SocketsError::Late);
            }
            let line = match self.lines.next(&mut listing) {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(error) => return Err(SocketsError::Proc { path, error }),
            };
            let socket = match line {
                Line::Whole(line) => parse_line(line),
                Line::TooLong => None,
            };
            match socket {
                Some(socket) if filter.admits(&socket) => {
                    dump.sockets_count += 1;
                    each(socket);
                }
                // Listeners come first, so a list of them need not cost one of everything.
                Some(socket) if is_behind_listeners(&socket, filter) => break,
                Some(_) => {}
                None => dump.odd_count += u64::from(number > 0),
            }
        }
        Ok(dump)
    }

    /// The file of a family; `None` for that of IPv6 on a kernel without it.
    fn file(&self, family: Family) -> Result<Option<File>, SocketsError> {
        let path = self.path(family);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if family == Family::V6 && error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(SocketsError::Proc { path, error }),
        }
    }

    fn path(&self, family: Family) -> PathBuf {
        self.folder.join(match family {
            Family::V4 => "tcp",
            Family::V6 => "tcp6",
        })
    }
}

/// A file that is at its end when a read leaves room for another line.
///
/// Asked once more, the kernel looks for the socket behind the last by its number in the list
/// (`net/ipv4/tcp_ipv4.c`, `tcp_seq_start`). Where others have come in front of it meanwhile, that
/// number is taken by one that was listed already, and as many as have come are listed again.
struct Listing<R> {
    file: R,
    is_over: bool,
}

impl<R> Listing<R> {
    const fn new(file: R) -> Self {
        Self {
            file,
            is_over: false,
        }
    }
}

impl<R: Read> Read for Listing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_over {
            return Ok(0);
        }
        let count = self.file.read(buffer)?;
        // A read is a page of whole lines, or what was asked for where that is less.
        self.is_over = count + LINE_ROOM_BYTES < buffer.len().min(page_size());
        Ok(count)
    }
}

fn is_behind_listeners(socket: &Socket, filter: &Filter) -> bool {
    socket.state != State::Listen && filter.states == States::only(State::Listen)
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    const HEADING: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n";

    /// A folder with these files, which is removed in the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str, tcp: &str, tcp6: Option<&str>) -> Self {
            let name = format!("fourtuple-{name}-{}", std::process::id());
            let folder = Self(std::env::temp_dir().join(name));
            fs::create_dir_all(&folder.0).expect("a folder for temporary files");
            fs::write(folder.0.join("tcp"), tcp).expect("a file");
            if let Some(tcp6) = tcp6 {
                fs::write(folder.0.join("tcp6"), tcp6).expect("a file");
            }
            folder
        }

        fn list(&self, family: Family, states: States) -> (Vec<State>, Dump) {
            let mut files = ProcFiles::open(&self.0).expect("files");
            let filter = Filter {
                states,
                ..Filter::default()
            };
            let mut found = Vec::new();
            let deadline = Instant::now() + Duration::from_secs(60);
            let dump = files.list(family, &filter, deadline, &mut |socket| {
                found.push(socket.state)
            });
            (found, dump.expect("a list"))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn line(state: u8) -> String {
        format!(
            "   0: 0100007F:0FA0 0100007F:C350 {state:02X} 00000000:00000000 00:00000000 00000000     0        \
             0 7 1 0000000000000000 20 4 0 10 -1\n"
        )
    }

    #[test]
    fn every_line_but_the_heading_is_a_socket_or_odd() {
        let tcp = format!("{HEADING}{}{}nonsense\n{}", line(10), line(1), line(6));
        let folder = Folder::new("lines", &tcp, Some(HEADING));
        let (found, dump) = folder.list(Family::V4, States::ALL);
        assert_eq!(found, [State::Listen, State::Established, State::TimeWait]);
        assert_eq!((dump.sockets_count, dump.odd_count), (3, 1));
        let (found, dump) = folder.list(Family::V6, States::ALL);
        assert_eq!((found.len(), dump), (0, Dump::default()));
    }

    #[test]
    fn a_list_of_listeners_ends_where_they_do() {
        let tcp = format!("{HEADING}{0}{0}{1}nonsense\n", line(10), line(1));
        let folder = Folder::new("listeners", &tcp, None);
        let (found, dump) = folder.list(Family::V4, States::only(State::Listen));
        assert_eq!((found.len(), dump.odd_count), (2, 0));
        let (found, dump) = folder.list(Family::V4, States::only(State::Established));
        assert_eq!((found.len(), dump.odd_count), (1, 1));
    }

    #[test]
    fn a_machine_without_ipv6_has_no_such_sockets_and_one_without_proc_no_list() {
        let folder = Folder::new("v4", HEADING, None);
        assert_eq!(folder.list(Family::V6, States::ALL).1, Dump::default());
        let error = ProcFiles::open(&folder.0.join("none")).expect_err("there is no folder");
        let words = error.to_string();
        assert!(words.contains("none/tcp cannot be read"), "{words}");
    }

    #[test]
    fn a_file_is_not_asked_again_when_it_left_room_for_a_line() {
        let page = page_size();
        for (reads, wanted) in [
            // Pages of whole lines, and one that could have had more.
            (&[page - 100, page - 100, 1_000, 150][..], 2 * page + 800),
            (
                &[page - LINE_ROOM_BYTES - 1, 150],
                page - LINE_ROOM_BYTES - 1,
            ),
            // Perhaps it could not.
            (&[page - LINE_ROOM_BYTES, 150], page - LINE_ROOM_BYTES + 150),
            (&[0, 150], 0),
        ] {
            let mut reads = reads.iter();
            let mut listing = Listing::new(Chunks(&mut reads));
            let mut buffer = vec![0; 4 * page];
            let mut total = 0;
            loop {
                match listing.read(&mut buffer).expect("it does not fail") {
                    0 => break,
                    count => total += count,
                }
            }
            assert_eq!(total, wanted);
        }
        // Little was asked for, and given.
        let mut reads = [300, 300].iter();
        let mut listing = Listing::new(Chunks(&mut reads));
        let mut buffer = [0; 300];
        assert_eq!(listing.read(&mut buffer).expect("it does not fail"), 300);
        assert_eq!(listing.read(&mut buffer).expect("it does not fail"), 300);
    }

    /// A file of which each read gives so many bytes.
    struct Chunks<'a>(&'a mut std::slice::Iter<'a, usize>);

    impl Read for Chunks<'_> {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Ok(self.0.next().copied().unwrap_or(0))
        }
    }

    #[test]
    fn a_deadline_that_is_over_ends_the_list() {
        let folder = Folder::new("late", HEADING, None);
        let mut files = ProcFiles::open(&folder.0).expect("files");
        let now = Instant::now();
        let late = files.list(Family::V4, &Filter::default(), now, &mut |_| {});
        assert!(matches!(late, Err(SocketsError::Late)));
    }
}
