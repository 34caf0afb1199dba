//! A stream of server-sent events as one client sees it: HTTP's chunks taken apart, events read, and that none is missing.
//! Pure: bytes go in.

use serde::Deserialize;

/// Longest line of HTTP or of an event that is read.
const LINE_MAX: usize = 1 << 22;

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) data: String,
}

/// Where the bytes of an answer stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Status,
    Header {
        is_chunked: bool,
    },
    ChunkSize,
    Chunk(usize),
    ChunkEnd,
    /// After the last chunk.
    End,
}

/// An answer's bytes on their way to events.
#[derive(Debug)]
pub(super) struct Stream {
    part: Part,
    /// A line of HTTP that is not whole.
    http: Vec<u8>,
    /// A line of an event that is not whole.
    line: Vec<u8>,
    event: Event,
}

impl Stream {
    pub(super) fn new() -> Stream {
        Stream {
            part: Part::Status,
            http: Vec::new(),
            line: Vec::new(),
            event: Event::default(),
        }
    }

    /// Whether the head of the answer has been read.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.part, Part::Status | Part::Header { .. })
    }

    /// Whether the server has ended it.
    pub(super) fn has_ended(&self) -> bool {
        self.part == Part::End
    }

    /// Takes bytes and gives the events that they end.
    pub(super) fn take(&mut self, mut bytes: &[u8], out: &mut Vec<Event>) -> Result<(), String> {
        while !bytes.is_empty() {
            if let Part::Chunk(left) = self.part {
                let (now, rest) = bytes.split_at(left.min(bytes.len()));
                bytes = rest;
                self.part = match left - now.len() {
                    0 => Part::ChunkEnd,
                    left => Part::Chunk(left),
                };
                self.body(now, out)?;
                continue;
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (now, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
            bytes = rest;
            self.http.extend_from_slice(now);
            if self.http.len() > LINE_MAX {
                return Err("a line of HTTP without an end".to_owned());
            }
            if end.is_some() {
                let line = std::mem::take(&mut self.http);
                let line = String::from_utf8_lossy(&line);
                self.part = next(self.part, line.trim_end())?;
            }
        }
        Ok(())
    }

    fn body(&mut self, bytes: &[u8], out: &mut Vec<Event>) -> Result<(), String> {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        // what follows the last end of line waits for its own
        let last = lines.next_back().unwrap_or_default();
        for line in lines {
            self.line.extend_from_slice(line);
            let whole = std::mem::take(&mut self.line);
            let whole = std::str::from_utf8(&whole).map_err(|e| e.to_string())?;
            self.field(whole, out);
        }
        self.line.extend_from_slice(last);
        match self.line.len() > LINE_MAX {
            true => Err("a line of an event without an end".to_owned()),
            false => Ok(()),
        }
    }

    fn field(&mut self, line: &str, out: &mut Vec<Event>) {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if !event.name.is_empty() {
                out.push(event);
            }
            return;
        }
        // without a name it is a comment
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => value.clone_into(&mut self.event.id),
            "event" => value.clone_into(&mut self.event.name),
            "data" => self.event.data.push_str(value),
            _ => {}
        }
    }
}

/// What follows a whole line of HTTP.
fn next(part: Part, line: &str) -> Result<Part, String> {
    match part {
        Part::Status if line.split(' ').nth(1) == Some("200") => {
            Ok(Part::Header { is_chunked: false })
        }
        Part::Status => Err(format!("the server answers {line:?}")),
        Part::Header { is_chunked: true } if line.is_empty() => Ok(Part::ChunkSize),
        Part::Header { .. } if line.is_empty() => Err("the answer is not in chunks".to_owned()),
        Part::Header { is_chunked } => Ok(Part::Header {
            is_chunked: is_chunked || line.eq_ignore_ascii_case("transfer-encoding: chunked"),
        }),
        Part::ChunkSize => match usize::from_str_radix(line, 16) {
            Ok(0) => Ok(Part::End),
            Ok(size) => Ok(Part::Chunk(size)),
            Err(_) => Err(format!("a chunk of {line:?} bytes")),
        },
        Part::ChunkEnd if line.is_empty() => Ok(Part::ChunkSize),
        Part::End if line.is_empty() => Ok(Part::End),
        Part::Chunk(_) | Part::ChunkEnd | Part::End => {
            Err(format!("a chunk is followed by {line:?}"))
        }
    }
}

/// The newest block, as an event tells it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) number: u64,
    pub(super) hash: String,
}

/// What matters of a line.
#[derive(Debug, Deserialize)]
struct Line {
    n: u64,
    #[serde(default)]
    skipped: u64,
}

/// What an event means to whoever follows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A line that follows the last one.
    Line,
    /// Lines that are to be read elsewhere.
    ReadAgain,
    /// The newest block; the first one that had not been told before.
    Head {
        first: u64,
    },
    Nothing,
}

/// What a client has seen: every event follows the one before, every line too, and the head only rises.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Id of the last event.
    pub(super) last: Option<String>,
    pub(super) head: Option<Head>,
    /// Number of the last line; none before the first and after a reset.
    pub(super) line: Option<u64>,
    pub(super) events: u64,
    /// Lines that were not told but counted.
    pub(super) skipped: u64,
    /// Times that all was to be read again.
    pub(super) resets: u64,
}

impl Seen {
    /// Takes the next event. The error says what is wrong with it.
    pub(super) fn take(&mut self, event: &Event) -> Result<Meaning, String> {
        self.events += 1;
        let is_reset = event.name == "reset";
        let (epoch, number) = id(&event.id)?;
        if let Some(last) = &self.last {
            let (before, last) = id(last)?;
            let follows = epoch == before && number == last + 1;
            // who comes back too late is told by an event with the newest id, or one of another server
            let starts_over = is_reset && (epoch != before || number >= last);
            if !follows && !starts_over {
                return Err(format!("event {} after {before}-{last}", event.id));
            }
        }
        self.last = Some(event.id.clone());
        let wrong = |e: serde_json::Error| format!("event {}: {e}", event.id);
        match event.name.as_str() {
            "head" => {
                let head: Head = serde_json::from_str(&event.data).map_err(wrong)?;
                let before = self.head.as_ref().map(|head| head.number);
                if before.is_some_and(|before| before >= head.number) {
                    return Err(format!("head {} after {before:?}", head.number));
                }
                let first = before.unwrap_or(head.number - 1) + 1;
                self.head = Some(head);
                Ok(Meaning::Head { first })
            }
            "activity" => {
                let line: Line = serde_json::from_str(&event.data).map_err(wrong)?;
                let before = self.line.replace(line.n);
                if before.is_some_and(|before| before + line.skipped + 1 != line.n) {
                    let (n, skipped) = (line.n, line.skipped);
                    return Err(format!("line {n} and {skipped} before it after {before:?}"));
                }
                self.skipped += line.skipped;
                Ok(match line.skipped {
                    0 => Meaning::Line,
                    _ => Meaning::ReadAgain,
                })
            }
            "reset" | "reorg" => {
                self.resets += 1;
                self.line = None;
                Ok(Meaning::ReadAgain)
            }
            _ => Ok(Meaning::Nothing),
        }
    }
}

fn id(id: &str) -> Result<(&str, u64), String> {
    let parts = id.split_once('-');
    let read = parts.and_then(|(epoch, number)| Some((epoch, number.parse().ok()?)));
    read.ok_or_else(|| format!("an event with the id {id:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

    fn event(id: &str, name: &str, data: &str) -> Event {
        let [id, name, data] = [id, name, data].map(str::to_owned);
        Event { id, name, data }
    }

    fn chunk(text: &str) -> String {
        format!("{:x}\r\n{text}\r\n", text.len())
    }

    #[test]
    fn events_are_the_same_wherever_the_bytes_are_cut() {
        let first = chunk(": hello\n\nid: a-1\nevent: head\ndata: {\"num");
        let second = chunk("ber\":1}\n\nid: a-2\nevent: values\ndata: {}\n\n: still here\n\n");
        let all = format!("{HEAD}{first}{second}");
        let expected = vec![
            event("a-1", "head", "{\"number\":1}"),
            event("a-2", "values", "{}"),
        ];
        for size in 1..=all.len() {
            let (mut stream, mut out) = (Stream::new(), Vec::new());
            for bytes in all.as_bytes().chunks(size) {
                stream.take(bytes, &mut out).unwrap();
            }
            assert!(stream.is_open() && !stream.has_ended());
            assert_eq!(out, expected, "{size} bytes at once");
            stream.take(b"0\r\n\r\n", &mut out).unwrap();
            assert!(stream.has_ended());
        }
    }

    #[test]
    fn what_is_no_stream_is_said() {
        for wrong in [
            "HTTP/1.1 503 Service Unavailable\r\n".to_owned(),
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n".to_owned(),
            format!("{HEAD}zz\r\n"),
            format!("{HEAD}1\r\nab\r\n"),
        ] {
            let mut stream = Stream::new();
            let taken = stream.take(wrong.as_bytes(), &mut Vec::new());
            assert!(taken.is_err(), "{wrong:?}");
        }
    }

    fn seen(events: &[Event]) -> Result<Vec<Meaning>, String> {
        let mut seen = Seen::default();
        events.iter().map(|event| seen.take(event)).collect()
    }

    fn head(id: &str, number: u64) -> Event {
        let data = format!("{{\"number\":{number},\"hash\":\"0x\"}}");
        event(id, "head", &data)
    }

    fn line(id: &str, n: u64, skipped: u64) -> Event {
        let data = match skipped {
            0 => format!("{{\"n\":{n}}}"),
            _ => format!("{{\"n\":{n},\"skipped\":{skipped}}}"),
        };
        event(id, "activity", &data)
    }

    #[test]
    fn events_that_follow_are_taken() {
        let all = [
            line("a-7", 3, 0),
            head("a-8", 9),
            line("a-9", 10, 6),
            head("a-10", 12),
            event("a-11", "reset", "{}"),
            line("a-12", 40, 0),
        ];
        let expected = vec![
            Meaning::Line,
            Meaning::Head { first: 9 },
            Meaning::ReadAgain,
            Meaning::Head { first: 10 },
            Meaning::ReadAgain,
            Meaning::Line,
        ];
        assert_eq!(seen(&all), Ok(expected));
        // after a stream that broke off for long
        let reset = event("a-90", "reset", "{}");
        assert!(seen(&[line("a-1", 1, 0), reset, line("a-91", 70, 0)]).is_ok());
    }

    #[test]
    fn a_gap_a_repetition_and_another_server_are_found() {
        for wrong in [
            [line("a-1", 1, 0), line("a-3", 2, 0)],
            [line("a-1", 1, 0), line("a-1", 2, 0)],
            [line("a-1", 1, 0), line("b-2", 2, 0)],
            [line("a-1", 1, 0), line("a-2", 3, 0)],
            [line("a-1", 1, 0), line("a-2", 4, 1)],
            [line("a-1", 1, 0), line("a-2", 1, 0)],
            [head("a-1", 5), head("a-2", 5)],
            [line("a-1", 1, 0), event("", "values", "{}")],
        ] {
            assert!(seen(&wrong).is_err(), "{wrong:?}");
        }
    }
}
