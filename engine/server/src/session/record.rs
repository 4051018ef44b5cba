//! Recording a call beside the hall: blocks are gathered and written by one thread for all calls.
//!
//! The hall only copies samples into a buffer; twice a second the buffer goes to the writing thread through
//! a bounded queue. If the disk can't keep up blocks are lost and counted, never waited for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use parlance_conversation::CallTime;
use parlance_media::EAR_RATE_HZ;
use parlance_media::recording::{RecordingFile, Side};
use parlance_media::resample::Resampler;
use parlance_store::CallId;
use tokio::sync::oneshot;

use crate::recordings;

/// Blocks that may wait for the disk: some seconds of a hundred calls.
const QUEUE: usize = 2_048;
/// Samples gathered before a block goes to the thread: half a second.
const GATHER: usize = EAR_RATE_HZ as usize / 2;
/// How long a call's end waits for the disk.
const FINISH_WAIT: Duration = Duration::from_secs(2);

enum Job {
    Begin { call: CallId, path: PathBuf },
    Block { call: CallId, side: Side, at: CallTime, samples: Vec<i16> },
    Finish { call: CallId, done: oneshot::Sender<bool> },
}

/// The thread that writes recordings; one for the engine. It ends when every handle is gone.
#[derive(Clone)]
pub struct Recorder {
    folder: PathBuf,
    jobs: SyncSender<Job>,
    lost: Arc<AtomicU64>,
}

impl Recorder {
    /// Records into `folder`, which is made if it is missing.
    pub fn start(folder: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (jobs, queue) = sync_channel(QUEUE);
        std::thread::Builder::new().name("recorder".into()).spawn(move || write(&queue))?;
        Ok(Self { folder: folder.to_owned(), jobs, lost: Arc::default() })
    }

    /// Where recordings are kept.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Blocks lost because the disk did not keep up, all calls together, since the start.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Begins to record a call whose agent speaks at `agent_rate_hz`. Its file is made with the first sample.
    pub fn record(&self, call: CallId, agent_rate_hz: u32) -> Recording {
        let to_ear =
            (agent_rate_hz != EAR_RATE_HZ).then(|| Resampler::new(agent_rate_hz, EAR_RATE_HZ).ok()).flatten();
        Recording {
            call,
            path: recordings::path(&self.folder, call),
            jobs: self.jobs.clone(),
            lost: self.lost.clone(),
            begun: false,
            caller: Gathered::default(),
            agent: Gathered::default(),
            to_ear,
            resampled: Vec::new(),
        }
    }
}

#[derive(Default)]
struct Gathered {
    at: CallTime,
    samples: Vec<i16>,
}

/// The recording of one live call. Dropped without `finish`, its file is completed all the same.
pub struct Recording {
    call: CallId,
    path: PathBuf,
    jobs: SyncSender<Job>,
    lost: Arc<AtomicU64>,
    begun: bool,
    caller: Gathered,
    agent: Gathered,
    to_ear: Option<Resampler>,
    resampled: Vec<i16>,
}

impl Recording {
    /// The caller's samples at 16 kHz.
    pub fn caller(&mut self, at: CallTime, samples: &[i16]) {
        self.begin();
        if let Some(block) = self.caller.add(at, samples) {
            self.send(Side::Caller, block);
            // The file waits a second for a side: the end of a reply must not lie here until the next one.
            let rest = self.agent.take();
            self.send(Side::Agent, rest);
        }
    }

    /// The agent's samples as they are played, at the rate given at the beginning.
    pub fn agent(&mut self, at: CallTime, samples: &[i16]) {
        self.begin();
        let samples = match &mut self.to_ear {
            Some(resampler) => {
                self.resampled.clear();
                resampler.process(samples, &mut self.resampled);
                &self.resampled
            }
            None => samples,
        };
        if let Some(block) = self.agent.add(at, samples) {
            self.send(Side::Agent, block);
            let rest = self.caller.take();
            self.send(Side::Caller, rest);
        }
    }

    /// Completes the file; its address, or `None` if there is nothing to hear, it could not be written, or the disk
    /// takes longer than 2 s: then it is completed later, without anybody who knows its address.
    pub async fn finish(self) -> Option<String> {
        self.finish_within(FINISH_WAIT).await
    }

    async fn finish_within(mut self, limit: Duration) -> Option<String> {
        if !self.begun {
            return None;
        }
        self.flush();
        let (done, wait) = oneshot::channel();
        let job = Job::Finish { call: self.call, done };
        self.begun = false;
        send_surely(&self.jobs, job);
        match tokio::time::timeout(limit, wait).await {
            Ok(written) => written.unwrap_or(false).then(|| recordings::uri(&self.path)),
            Err(_) => {
                tracing::error!(call = %self.call, path = %self.path.display(), "the recording is late: the call is stored without it");
                None
            }
        }
    }

    fn begin(&mut self) {
        if !self.begun {
            self.begun = true;
            self.enqueue(Job::Begin { call: self.call, path: self.path.clone() });
        }
    }

    fn flush(&mut self) {
        let (caller, agent) = (self.caller.take(), self.agent.take());
        self.send(Side::Caller, caller);
        self.send(Side::Agent, agent);
    }

    fn send(&self, side: Side, block: Gathered) {
        if !block.samples.is_empty() {
            self.enqueue(Job::Block { call: self.call, side, at: block.at, samples: block.samples });
        }
    }

    fn enqueue(&self, job: Job) {
        if let Err(TrySendError::Full(_)) = self.jobs.try_send(job) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(call = %self.call, "a piece of the recording is lost: the disk does not keep up");
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.begun {
            self.flush();
            let (done, _) = oneshot::channel();
            send_surely(&self.jobs, Job::Finish { call: self.call, done });
        }
    }
}

/// Sends a job that must not be lost, or its file stays open for ever. Never waits: for a full queue a thread does.
fn send_surely(jobs: &SyncSender<Job>, job: Job) {
    if let Err(TrySendError::Full(job)) = jobs.try_send(job) {
        let jobs = jobs.clone();
        let waits = move || {
            // Without a writer there is no file either.
            jobs.send(job).ok();
        };
        if let Err(error) = std::thread::Builder::new().name("recording-end".into()).spawn(waits) {
            tracing::error!(%error, "a recording could not be completed");
        }
    }
}

impl Gathered {
    /// Adds samples; gives what was gathered before when it is enough or the new samples do not follow it.
    fn add(&mut self, at: CallTime, samples: &[i16]) -> Option<Gathered> {
        let follows = at.as_micros().abs_diff(self.end().as_micros()) <= 10_000;
        let full = (!follows || self.samples.len() >= GATHER).then(|| self.take());
        if self.samples.is_empty() {
            self.at = if follows { self.at } else { at };
            self.samples.reserve(GATHER + samples.len());
        }
        self.samples.extend_from_slice(samples);
        full
    }

    /// Gives what was gathered; what comes next may follow it.
    fn take(&mut self) -> Gathered {
        let end = self.end();
        Gathered { at: std::mem::replace(&mut self.at, end), samples: std::mem::take(&mut self.samples) }
    }

    fn end(&self) -> CallTime {
        let length_us = parlance_media::samples_to_us(self.samples.len() as u64, EAR_RATE_HZ);
        CallTime::from_micros(self.at.as_micros() + length_us)
    }
}

fn write(queue: &Receiver<Job>) {
    let mut files: HashMap<CallId, RecordingFile> = HashMap::new();
    while let Ok(job) = queue.recv() {
        match job {
            Job::Begin { call, path } => match RecordingFile::create(&path) {
                Ok(file) => {
                    files.insert(call, file);
                }
                Err(error) => tracing::error!(%call, %error, "the recording could not be begun"),
            },
            Job::Block { call, side, at, samples } => {
                let Some(file) = files.get_mut(&call) else { continue };
                if let Err(error) = file.push(side, at.as_micros(), &samples) {
                    tracing::error!(%call, %error, "the recording stops: it could not be written");
                    files.remove(&call);
                }
            }
            Job::Finish { call, done } => {
                let finished = files.remove(&call).map(RecordingFile::finish);
                if let Some(Err(error)) = &finished {
                    tracing::error!(%call, %error, "the recording could not be completed");
                }
                // Nobody waits when the call was dropped.
                done.send(matches!(finished, Some(Ok(_)))).ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_reply_is_recorded_although_nothing_follows_it_for_long() {
        let call = CallId::new();
        let folder = std::env::temp_dir().join(format!("parlance-record-{call}"));
        let recorder = Recorder::start(&folder).expect("the folder can be made");
        let mut recording = recorder.record(call, EAR_RATE_HZ);
        // Four seconds of a silent caller; the agent speaks from 200 to 840 ms.
        for frame in 0..200_u64 {
            let at = CallTime::from_millis(frame * 20);
            recording.caller(at, &[0; 320]);
            if (10..42).contains(&frame) {
                recording.agent(at, &[1_000; 320]);
            }
        }
        let uri = recording.finish().await.expect("it was begun");
        let path = uri.strip_prefix("file://").expect("it is a file");
        let clip = parlance_media::wav::read(Path::new(path)).expect("it is a WAV file");
        std::fs::remove_dir_all(&folder).expect("the folder is ours");
        let sounding = clip.channels[1].iter().filter(|sample| **sample == 1_000).count();
        assert_eq!(sounding, 32 * 320);
    }

    /// A recording that has begun, for a writer that is the test itself.
    fn begun(jobs: SyncSender<Job>) -> Recording {
        let recorder = Recorder { folder: PathBuf::new(), jobs, lost: Arc::default() };
        let mut recording = recorder.record(CallId::new(), EAR_RATE_HZ);
        recording.begin();
        recording
    }

    #[tokio::test]
    async fn a_disk_that_hangs_holds_up_no_end_of_a_call() {
        // Room for the beginning only: the end finds the queue full and nobody reads it.
        let (jobs, queue) = sync_channel(1);
        assert_eq!(begun(jobs).finish_within(Duration::from_millis(1)).await, None);
        drop(queue);
    }

    #[test]
    fn a_recording_dropped_while_the_queue_is_full_is_completed_all_the_same() {
        let (jobs, queue) = sync_channel(1);
        drop(begun(jobs));
        let received: Vec<Job> = queue.iter().collect();
        assert!(matches!(received[..], [Job::Begin { .. }, Job::Finish { .. }]));
    }
}
