//! Steady tones: one or two sines that do not move for 200 ms, at any frequency from 300 to 1 900 Hz.
//!
//! A sum of two sines obeys `x[n] + x[n-4] = a (x[n-1] + x[n-3]) + b x[n-2]` exactly, one sine the shorter
//! `x[n] + x[n-2] = c x[n-1]`. Fitting those by least squares costs a few products a sample, needs no guess of
//! the frequency, and holds for the 440 and 480 Hz of a ring-back within a frame, where a spectrum needs
//! 100 ms to see two lines. What the fit leaves over says how pure the sound is; that the frequencies stay says it is no
//! voice. Enter at [`SteadyDetector::hear`].

use std::f64::consts::TAU;

use super::ToneEvent;
use crate::FRAME_US;
use crate::level::power_dbfs;

const RATE_HZ: f64 = 4_000.0;
const FRAME: usize = 80;
/// Frames that make a steady tone: 200 ms.
const FRAMES_ON: usize = 10;
const HALF: usize = FRAMES_ON / 2;
/// Pure frames in a row that make a tone likely.
const FRAMES_LIKELY: usize = 2;

const QUIETEST_DBFS: f32 = -45.0;
const LOWEST_HZ: f64 = 300.0;
const HIGHEST_HZ: f64 = 1_900.0;
/// Signal over everything else that a frame must have: 20 dB, where mu-law itself leaves 36.
const PURITY: f64 = 100.0;
/// Share of the 16 kHz frame's power that lies below 2 kHz.
const IN_BAND: f64 = 0.8;
/// Most by which a frequency may differ between the first and the second 100 ms; voices waver by more.
const WAVER: f64 = 0.015;
/// Most by which the power may differ between them: 3 dB.
const SWELL: f64 = 2.0;

#[derive(Debug, Clone, Default)]
pub(super) struct SteadyDetector {
    /// The four samples before the frame.
    before: [f32; 4],
    /// Fits of the last pure frames, newest last.
    run: [Sums; FRAMES_ON],
    length: usize,
    started_us: u64,
    ended_us: u64,
    on: Option<Tone>,
}

impl SteadyDetector {
    /// Hears a frame at 4 kHz that begins at `at_us`; `wide_power` is its sum of squares before the band was
    /// narrowed, at the same scale.
    pub(super) fn hear(&mut self, at_us: u64, frame: &[f32; FRAME], wide_power: f32) -> Option<ToneEvent> {
        let sums = Sums::of(&self.before, frame);
        self.before.copy_from_slice(&frame[FRAME - 4..]);
        let loud = power_dbfs(wide_power / FRAME as f32) >= QUIETEST_DBFS;
        let pure = loud && sums.power >= IN_BAND * f64::from(wide_power) && sums.tone().is_some();
        if !pure {
            return self.end(at_us);
        }
        if self.length == 0 {
            self.started_us = at_us;
        }
        self.ended_us = at_us + FRAME_US;
        self.run.rotate_left(1);
        self.run[FRAMES_ON - 1] = sums;
        self.length = (self.length + 1).min(FRAMES_ON);
        self.judge_run()
    }

    pub(super) fn is_on(&self) -> bool {
        self.on.is_some()
    }

    pub(super) fn is_likely(&self) -> bool {
        self.length >= FRAMES_LIKELY
    }

    /// Forgets the run; ends a tone that is on, at `at_us` at the latest.
    pub(super) fn end(&mut self, at_us: u64) -> Option<ToneEvent> {
        self.length = 0;
        self.on.take()?;
        let ended_us = self.ended_us.min(at_us);
        Some(ToneEvent::SteadyEnded { started_us: self.started_us, ended_us })
    }

    fn judge_run(&mut self) -> Option<ToneEvent> {
        if self.length < FRAMES_ON {
            return None;
        }
        let (first, second) = self.run.split_at(HALF);
        let (first, second) = (Sums::total(first), Sums::total(second));
        let level = first.power <= SWELL * second.power && second.power <= SWELL * first.power;
        let steady = match (first.tone(), second.tone()) {
            (Some(a), Some(b)) if level => a.is_near(&b).then_some(b),
            _ => None,
        };
        match (steady, self.on) {
            (Some(tone), None) => {
                self.on = Some(tone);
                let middle_hz = (tone.hz[0].midpoint(tone.hz[1])) as f32;
                Some(ToneEvent::SteadyStarted { at_us: self.started_us, middle_hz })
            }
            (None, Some(_)) => self.end(self.ended_us),
            _ => None,
        }
    }
}

/// The two frequencies of a pure sound, lower first; of a single sine, or of two too close to tell apart in
/// noise, twice the same.
#[derive(Debug, Clone, Copy)]
struct Tone {
    hz: [f64; 2],
}

impl Tone {
    fn is_near(&self, other: &Tone) -> bool {
        self.hz.iter().zip(other.hz).all(|(a, b)| (a - b).abs() <= WAVER * a)
    }

    fn in_range(self) -> Option<Tone> {
        self.hz.iter().all(|hz| (LOWEST_HZ..HIGHEST_HZ).contains(hz)).then_some(self)
    }
}

/// The products of a frame's samples that both fits are made of.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    power: f64,
    /// Short recurrence: predictor `x[n-1]`, target `x[n] + x[n-2]`.
    short: [f64; 3],
    /// Long recurrence: predictors `x[n-1] + x[n-3]` and `x[n-2]`, target `x[n] + x[n-4]`.
    long: [f64; 6],
}

impl Sums {
    fn of(before: &[f32; 4], frame: &[f32; FRAME]) -> Sums {
        let mut x = [0.0f32; FRAME + 4];
        x[..4].copy_from_slice(before);
        x[4..].copy_from_slice(frame);
        let (mut power, mut short, mut long) = (0.0f32, [0.0f32; 3], [0.0f32; 6]);
        for w in x.array_windows::<5>() {
            let &[x4, x3, x2, x1, x0] = w;
            power += x0 * x0;
            let y = x0 + x2;
            short[0] += x1 * x1;
            short[1] += x1 * y;
            short[2] += y * y;
            let (u, y) = (x1 + x3, x0 + x4);
            for (sum, product) in long.iter_mut().zip([u * u, u * x2, x2 * x2, u * y, x2 * y, y * y]) {
                *sum += product;
            }
        }
        Sums { power: power.into(), short: short.map(f64::from), long: long.map(f64::from) }
    }

    fn total(parts: &[Sums]) -> Sums {
        let mut total = Sums::default();
        for part in parts {
            total.power += part.power;
            total.short.iter_mut().zip(part.short).for_each(|(sum, more)| *sum += more);
            total.long.iter_mut().zip(part.long).for_each(|(sum, more)| *sum += more);
        }
        total
    }

    /// The tone that explains the sound to within [`PURITY`], if any does. One sine is tried first: of a single
    /// one the longer recurrence finds the other frequency in the noise.
    fn tone(&self) -> Option<Tone> {
        self.single().or_else(|| self.double()).and_then(Tone::in_range)
    }

    fn single(&self) -> Option<Tone> {
        let [xx, xy, yy] = self.short;
        let c = xy / xx;
        let left = yy - c * xy;
        // White noise of power 1 leaves 2 + c² after the fit.
        let pure = left * PURITY <= self.power * (2.0 + c * c);
        pure.then(|| frequency(c)).flatten().map(|hz| Tone { hz: [hz, hz] })
    }

    fn double(&self) -> Option<Tone> {
        let [uu, uv, vv, uy, vy, yy] = self.long;
        let determinant = uu * vv - uv * uv;
        let (a, b) = ((uy * vv - vy * uv) / determinant, (vy * uu - uy * uv) / determinant);
        let left = yy - a * uy - b * vy;
        let pure = left * PURITY <= self.power * (2.0 + 2.0 * a * a + b * b);
        let spread = (a * a + 4.0 * (b + 2.0)).sqrt();
        let (low, high) = (frequency((a + spread) / 2.0)?, frequency((a - spread) / 2.0)?);
        pure.then_some(Tone { hz: [low, high] })
    }
}

/// The frequency whose doubled cosine is `c`; none for a `c` that no sine has.
fn frequency(c: f64) -> Option<f64> {
    (c.abs() < 2.0).then(|| (c / 2.0).acos() / TAU * RATE_HZ)
}
