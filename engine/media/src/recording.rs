//! Recording: a call as a stereo WAV file, caller left and agent right, both on call audio time.
//!
//! Takes blocks of 16 kHz samples with their time, in any order between the sides, and writes 16-bit stereo
//! in step. Where a side gave nothing it is silent; where two blocks of a side claim the same time the first
//! stands. Records what it is given: agent audio that was flushed unheard must not be given, so give it as
//! it is played. Blocks, so call it from a thread that may. Enter at [`RecordingFile::create`], or
//! [`Recorder::new`] over any sink.
//!
//! A side is waited for one second at most, which bounds the memory, then it counts as silent there; a block
//! that comes later still loses the part that is already written.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use crate::{EAR_RATE_HZ, us_to_samples};

/// How long a side is waited for, in samples: one second. Also how often the header is brought up to date.
const PATIENCE: u64 = EAR_RATE_HZ as u64;
/// A block that begins this near to the end of the one before, 10 ms, follows it without gap or cut: times
/// taken from a playing clock jitter, and a sample of silence in the middle of a word is a click.
const SNAP: u64 = EAR_RATE_HZ as u64 / 100;

/// Which side of the call a block belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Left channel.
    Caller,
    /// Right channel.
    Agent,
}

/// Records one call into a sink.
pub struct Recorder<W: Write + Seek> {
    wav: hound::WavWriter<W>,
    /// Caller, then agent.
    sides: [Track; 2],
    /// Samples a channel that are written.
    written: u64,
    flushed: u64,
}

/// What a side gave that is not written yet: it begins at the first sample not written.
#[derive(Default)]
struct Track {
    pending: VecDeque<i16>,
}

impl<W: Write + Seek> Recorder<W> {
    /// Begins a recording at call audio time 0.
    ///
    /// # Errors
    /// When the header can't be written.
    pub fn new(sink: W) -> io::Result<Self> {
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: EAR_RATE_HZ,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut wav = hound::WavWriter::new(sink, spec).map_err(io_error)?;
        wav.flush().map_err(io_error)?;
        Ok(Recorder { wav, sides: Default::default(), written: 0, flushed: 0 })
    }

    /// Records 16 kHz `samples` of `side` that begin at `at_us`, and writes what both sides are known up to.
    /// The header is right again after each second of audio, so that a crash leaves a readable file.
    ///
    /// # Errors
    /// What the sink said. Audio given before may then be lost; the recording can't be relied upon further.
    pub fn push(&mut self, side: Side, at_us: u64, samples: &[i16]) -> io::Result<()> {
        let at = us_to_samples(at_us, EAR_RATE_HZ);
        // A leap of the clock is written before its block is kept: silence is not held in memory.
        self.write_until(at.saturating_sub(PATIENCE))?;
        self.sides[side as usize].place(at, self.written, samples);
        let [caller, agent] = self.sides.each_ref().map(|track| self.written + track.pending.len() as u64);
        self.write_until(caller.min(agent).max(caller.max(agent).saturating_sub(PATIENCE)))?;
        if self.written - self.flushed >= PATIENCE {
            self.flushed = self.written;
            self.wav.flush().map_err(io_error)?;
        }
        Ok(())
    }

    /// Writes all that was given, completes the header and gives the length of the recording in microseconds.
    ///
    /// # Errors
    /// What the sink said.
    pub fn finish(mut self) -> io::Result<u64> {
        let longest = self.sides.iter().map(|track| track.pending.len()).max().unwrap_or(0);
        self.write_until(self.written + longest as u64)?;
        let length_us = crate::samples_to_us(self.written, EAR_RATE_HZ);
        self.wav.finalize().map_err(io_error)?;
        Ok(length_us)
    }

    fn write_until(&mut self, end: u64) -> io::Result<()> {
        while self.written < end {
            for track in &mut self.sides {
                let sample = track.pending.pop_front().unwrap_or(0);
                self.wav.write_sample(sample).map_err(io_error)?;
            }
            self.written += 1;
        }
        Ok(())
    }
}

impl Track {
    /// Keeps `samples` that begin at `at`, when `written` is the place of the first sample kept.
    fn place(&mut self, at: u64, written: u64, samples: &[i16]) {
        let known = written + self.pending.len() as u64;
        let at = if at.abs_diff(known) <= SNAP { known } else { at };
        let taken = known.saturating_sub(at).min(samples.len() as u64);
        let gap = at.saturating_sub(known);
        self.pending.extend(std::iter::repeat_n(0, gap as usize));
        self.pending.extend(&samples[taken as usize..]);
    }
}

/// A recording on disk, named `<name>.part` until it is finished.
pub struct RecordingFile {
    recorder: Recorder<BufWriter<File>>,
    part: PathBuf,
    path: PathBuf,
}

impl RecordingFile {
    /// Begins the recording that will be at `path`; its folder must exist.
    ///
    /// # Errors
    /// When the `.part` file can't be made or written.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let recorder = Recorder::new(BufWriter::new(File::create(&part)?))?;
        Ok(RecordingFile { recorder, part, path: path.to_owned() })
    }

    /// See [`Recorder::push`].
    ///
    /// # Errors
    /// When the file can't be written, as on a full disk.
    pub fn push(&mut self, side: Side, at_us: u64, samples: &[i16]) -> io::Result<()> {
        self.recorder.push(side, at_us, samples)
    }

    /// Completes the file, gives it its name and tells its length in microseconds. A recording that is dropped
    /// instead keeps the `.part` name and is readable.
    ///
    /// # Errors
    /// When the file can't be written or renamed.
    pub fn finish(self) -> io::Result<u64> {
        let length_us = self.recorder.finish()?;
        std::fs::rename(&self.part, &self.path)?;
        Ok(length_us)
    }
}

/// The sink's own error; what else `hound` could say does not arise from a fixed, valid format.
fn io_error(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) => error,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::{Cursor, SeekFrom};
    use std::rc::Rc;

    use super::*;
    use crate::wav;

    /// A sink that can still be looked at while the recorder owns it.
    #[derive(Clone, Default)]
    struct Sink(Rc<RefCell<Cursor<Vec<u8>>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Sink {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.borrow_mut().seek(to)
        }
    }

    impl Sink {
        fn channels(&self) -> [Vec<i16>; 2] {
            let clip = wav::parse(self.0.borrow().get_ref().as_slice()).unwrap();
            assert_eq!(clip.sample_rate_hz, 16_000);
            clip.channels.try_into().unwrap()
        }
    }

    /// Records the blocks (side, milliseconds, value, samples) and gives both channels.
    fn record(blocks: &[(Side, u64, i16, usize)]) -> [Vec<i16>; 2] {
        let sink = Sink::default();
        let mut recorder = Recorder::new(sink.clone()).unwrap();
        for &(side, at_ms, value, count) in blocks {
            recorder.push(side, at_ms * 1_000, &vec![value; count]).unwrap();
        }
        recorder.finish().unwrap();
        sink.channels()
    }

    /// Runs of equal samples: (value, length).
    fn runs(channel: &[i16]) -> Vec<(i16, usize)> {
        channel.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect()
    }

    use Side::{Agent, Caller};

    #[test]
    fn the_caller_is_left_the_agent_right_and_gaps_are_silence() {
        let [left, right] = record(&[(Caller, 0, 5, 320), (Agent, 20, 9, 320), (Caller, 60, 6, 320)]);
        assert_eq!(runs(&left), [(5, 320), (0, 640), (6, 320)]);
        assert_eq!(runs(&right), [(0, 320), (9, 320), (0, 640)]);
    }

    #[test]
    fn the_first_of_two_blocks_that_claim_the_same_time_stands() {
        let [_, right] = record(&[(Agent, 0, 1, 640), (Agent, 20, 2, 640), (Agent, 0, 3, 320)]);
        assert_eq!(runs(&right), [(1, 640), (2, 320)]);
    }

    #[test]
    fn blocks_timed_by_a_jittering_clock_join_without_a_click() {
        let sink = Sink::default();
        let mut recorder = Recorder::new(sink.clone()).unwrap();
        for (frame, jitter) in [0, 900, -4_000, 9_000, -1_000].into_iter().enumerate() {
            let at = (100_000 + frame as i64 * 20_000 + jitter) as u64;
            recorder.push(Agent, at, &[7; 320]).unwrap();
        }
        recorder.finish().unwrap();
        assert_eq!(runs(&sink.channels()[1]), [(0, 1_600), (7, 1_600)]);
    }

    #[test]
    fn a_silent_agent_holds_the_writing_up_for_a_second_at_most() {
        let mut recorder = Recorder::new(Sink::default()).unwrap();
        for frame in 0..500_u64 {
            recorder.push(Caller, frame * 20_000, &[1; 320]).unwrap();
            let waiting = recorder.sides[0].pending.len() as u64;
            assert!(waiting <= PATIENCE, "{waiting} samples wait after frame {frame}");
        }
        assert_eq!(recorder.written, 500 * 320 - PATIENCE);
    }

    #[test]
    fn a_block_that_comes_too_late_loses_only_what_is_written() {
        let mut blocks: Vec<_> = (0..100).map(|frame| (Caller, frame * 20, 1, 320)).collect();
        blocks.push((Agent, 980, 8, 640));
        let [left, right] = record(&blocks);
        assert_eq!(runs(&left), [(1, 32_000)]);
        // One second of the two was written; of the agent's 40 ms, the first 20 lie before that.
        assert_eq!(runs(&right), [(0, 16_000), (8, 320), (0, 15_680)]);
    }

    #[test]
    fn a_leap_of_the_clock_is_silence_on_both_sides_and_kept_out_of_memory() {
        let sink = Sink::default();
        let mut recorder = Recorder::new(sink.clone()).unwrap();
        recorder.push(Caller, 0, &[1; 320]).unwrap();
        recorder.push(Caller, 60_000_000, &[2; 320]).unwrap();
        assert!(recorder.sides[0].pending.len() as u64 <= PATIENCE + 320);
        assert_eq!(recorder.finish().unwrap(), 60_020_000);
        assert_eq!(runs(&sink.channels()[0]), [(1, 320), (0, 959_680), (2, 320)]);
    }

    #[test]
    fn the_file_is_readable_at_any_time_and_lacks_two_seconds_at_most() {
        let sink = Sink::default();
        let mut recorder = Recorder::new(sink.clone()).unwrap();
        assert!(sink.channels()[0].is_empty(), "a header from the first moment on");
        for frame in 0..250_u64 {
            recorder.push(Caller, frame * 20_000, &[3; 320]).unwrap();
            let [left, right] = sink.channels();
            let given = (frame as usize + 1) * 320;
            assert!(left.len() + 2 * PATIENCE as usize >= given, "{} of {given}", left.len());
            assert_eq!(left.len(), right.len());
        }
    }

    #[test]
    fn a_file_has_its_name_only_once_it_is_finished() {
        let folder = std::env::temp_dir().join(format!("parlance-recording-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (path, part) = (folder.join("call.wav"), folder.join("call.wav.part"));
        let mut recording = RecordingFile::create(&path).unwrap();
        recording.push(Caller, 0, &[4; 16_000]).unwrap();
        assert!(part.exists() && !path.exists());
        assert_eq!(recording.finish().unwrap(), 1_000_000);
        assert!(path.exists() && !part.exists());
        assert_eq!(runs(&wav::read(&path).unwrap().channels[0]), [(4, 16_000)]);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_is_readable_after_a_crash() {
        let path = std::env::temp_dir().join(format!("parlance-crash-{}.wav", std::process::id()));
        let mut recording = RecordingFile::create(&path).unwrap();
        for frame in 0..250 {
            recording.push(Caller, frame * 20_000, &[4; 320]).unwrap();
        }
        let part = recording.part.clone();
        std::mem::forget(recording);
        let bytes = std::fs::read(&part).unwrap();
        std::fs::remove_file(&part).unwrap();
        let left = &wav::parse(bytes.as_slice()).unwrap().channels[0];
        assert!(left.len() >= 3 * 16_000 && left.iter().all(|&sample| sample == 4), "{}", left.len());
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let nowhere = Path::new("no-such-folder/call.wav");
        assert_eq!(
            RecordingFile::create(nowhere).err().map(|error| error.kind()),
            Some(io::ErrorKind::NotFound)
        );
    }
}
