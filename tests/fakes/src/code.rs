//! Words as tones: every word has a number, every number a short tune that can be found again in the audio.
//!
//! With it a stand-in hears *which* words are in the audio it is sent, wherever its connection began, and a test reads
//! off the wire which words a caller heard, in which order, how often.
