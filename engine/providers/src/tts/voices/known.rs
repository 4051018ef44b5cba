//! The voices that are known without asking a vendor, and the other names people use for them.
//!
//! As of 2026-11. Aura voices are those of Deepgram's own client (deepgram 7.17), OpenAI's those of openai 3.52; the
//! ElevenLabs and Cartesia ones are stock voices every account can use. Vendors add and withdraw voices, so the live
//! list leads where there is one.

/// A voice of a vendor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub id: &'static str,
    pub name: &'static str,
    pub languages: &'static [&'static str],
    pub about: &'static str,
}

const fn voice(
    id: &'static str,
    name: &'static str,
    languages: &'static [&'static str],
    about: &'static str,
) -> Known {
    Known { id, name, languages, about }
}

/// The voices of a vendor, its default first.
pub(super) fn of(vendor: &str) -> &'static [Known] {
    match vendor {
        "elevenlabs" => ELEVENLABS,
        "deepgram" => DEEPGRAM,
        "openai" => OPENAI,
        "cartesia" => CARTESIA,
        "flite" => FLITE,
        "espeak-ng" => ESPEAK,
        _ => &[],
    }
}

/// Names under which voices are asked for and which their vendor does not list: the vendor, the name in lower case, the
/// name it has here. Retell's `11labs-Adrian` is a voice of Retell's own account that nobody else can use; the nearest
/// stock voice speaks instead.
pub(super) const ALIASES: &[(&str, &str, &str)] =
    &[("elevenlabs", "adrian", "Adam"), ("elevenlabs", "bella", "Sarah")];

const ELEVENLABS: &[Known] = &[
    voice("21m00Tcm4TlvDq8ikWAM", "Rachel", &["en"], "calm young American woman"),
    voice("CwhRBWXzGAHq8TQ4Fs17", "Roger", &["en"], "confident American man"),
    voice("EXAVITQu4vr4xnSDxMaL", "Sarah", &["en"], "soft American woman"),
    voice("FGY2WhTYpPnrIDTdsKH5", "Laura", &["en"], "upbeat American woman"),
    voice("IKne3meq5aSn9XLyUdCD", "Charlie", &["en"], "easy-going Australian man"),
    voice("JBFqnCBsd6RMkjVDRZzb", "George", &["en"], "warm British man"),
    voice("N2lVS1w4EtoT3dr4eOWO", "Callum", &["en"], "intense, husky man"),
    voice("SAz9YHcvj6GT2YYXdXww", "River", &["en"], "relaxed American voice"),
    voice("TX3LPaxmHKxFdv7VOQHJ", "Liam", &["en"], "lively young American man"),
    voice("XB0fDUnXU5powFXDhCwa", "Charlotte", &["en"], "woman with a Swedish accent"),
    voice("Xb7hH8MSUJpSbSDYk0k2", "Alice", &["en"], "confident British woman"),
    voice("XrExE9yKIg1WjnnlVkGX", "Matilda", &["en"], "friendly American woman"),
    voice("bIHbv24MWmeRgasZH58o", "Will", &["en"], "friendly young American man"),
    voice("cgSgspJ2msm6clMCkdW9", "Jessica", &["en"], "expressive young American woman"),
    voice("cjVigY5qzO86Huf0OWal", "Eric", &["en"], "friendly American man"),
    voice("iP95p4xoKVk53GoZ742B", "Chris", &["en"], "casual American man"),
    voice("nPczCjzI2devNBz1zQrb", "Brian", &["en"], "deep American man"),
    voice("onwK4e9ZLuTAKqWW03F9", "Daniel", &["en"], "steady British man"),
    voice("pFZP5JQG7iQjIQuC4Bku", "Lily", &["en"], "warm British woman"),
    voice("pNInz6obpgDQGcFmaJgB", "Adam", &["en"], "deep American man"),
    voice("pqHfZKP75CvOlQylNhV4", "Bill", &["en"], "older American man"),
    voice("9BWtsMINqrJLrRacOk9x", "Aria", &["en"], "expressive American woman"),
    voice("ErXwobaYiN019PkySvjV", "Antoni", &["en"], "well-rounded young man"),
    voice("AZnzlk1XvdvUeBnXmlld", "Domi", &["en"], "strong young American woman"),
    voice("MF3mGyEYCl7XYWbV9V6O", "Elli", &["en"], "emotional young American woman"),
    voice("TxGEqnHWrfWFTfGW9XjX", "Josh", &["en"], "deep young American man"),
    voice("VR6AewLTigWG4xSOukaG", "Arnold", &["en"], "crisp American man"),
    voice("29vD33N1CtxCmqQRPOHJ", "Drew", &["en"], "well-rounded American man"),
    voice("5Q0t7uMcjvnagumLfvZi", "Paul", &["en"], "reporting American man"),
];

const DEEPGRAM: &[Known] = &[
    voice("aura-2-thalia-en", "Thalia", &["en"], "Aura 2"),
    voice("aura-2-andromeda-en", "Andromeda", &["en"], "Aura 2"),
    voice("aura-2-helena-en", "Helena", &["en"], "Aura 2"),
    voice("aura-2-apollo-en", "Apollo", &["en"], "Aura 2"),
    voice("aura-2-arcas-en", "Arcas", &["en"], "Aura 2"),
    voice("aura-2-aries-en", "Aries", &["en"], "Aura 2"),
    voice("aura-2-amalthea-en", "Amalthea", &["en"], "Aura 2"),
    voice("aura-2-asteria-en", "Asteria", &["en"], "Aura 2"),
    voice("aura-2-athena-en", "Athena", &["en"], "Aura 2"),
    voice("aura-2-atlas-en", "Atlas", &["en"], "Aura 2"),
    voice("aura-2-aurora-en", "Aurora", &["en"], "Aura 2"),
    voice("aura-2-callista-en", "Callista", &["en"], "Aura 2"),
    voice("aura-2-cora-en", "Cora", &["en"], "Aura 2"),
    voice("aura-2-cordelia-en", "Cordelia", &["en"], "Aura 2"),
    voice("aura-2-delia-en", "Delia", &["en"], "Aura 2"),
    voice("aura-2-draco-en", "Draco", &["en"], "Aura 2"),
    voice("aura-2-electra-en", "Electra", &["en"], "Aura 2"),
    voice("aura-2-harmonia-en", "Harmonia", &["en"], "Aura 2"),
    voice("aura-2-hera-en", "Hera", &["en"], "Aura 2"),
    voice("aura-2-hermes-en", "Hermes", &["en"], "Aura 2"),
    voice("aura-2-hyperion-en", "Hyperion", &["en"], "Aura 2"),
    voice("aura-2-iris-en", "Iris", &["en"], "Aura 2"),
    voice("aura-2-janus-en", "Janus", &["en"], "Aura 2"),
    voice("aura-2-juno-en", "Juno", &["en"], "Aura 2"),
    voice("aura-2-jupiter-en", "Jupiter", &["en"], "Aura 2"),
    voice("aura-2-luna-en", "Luna", &["en"], "Aura 2"),
    voice("aura-2-mars-en", "Mars", &["en"], "Aura 2"),
    voice("aura-2-minerva-en", "Minerva", &["en"], "Aura 2"),
    voice("aura-2-neptune-en", "Neptune", &["en"], "Aura 2"),
    voice("aura-2-odysseus-en", "Odysseus", &["en"], "Aura 2"),
    voice("aura-2-ophelia-en", "Ophelia", &["en"], "Aura 2"),
    voice("aura-2-orion-en", "Orion", &["en"], "Aura 2"),
    voice("aura-2-orpheus-en", "Orpheus", &["en"], "Aura 2"),
    voice("aura-2-pandora-en", "Pandora", &["en"], "Aura 2"),
    voice("aura-2-phoebe-en", "Phoebe", &["en"], "Aura 2"),
    voice("aura-2-pluto-en", "Pluto", &["en"], "Aura 2"),
    voice("aura-2-saturn-en", "Saturn", &["en"], "Aura 2"),
    voice("aura-2-selene-en", "Selene", &["en"], "Aura 2"),
    voice("aura-2-theia-en", "Theia", &["en"], "Aura 2"),
    voice("aura-2-vesta-en", "Vesta", &["en"], "Aura 2"),
    voice("aura-2-zeus-en", "Zeus", &["en"], "Aura 2"),
    voice("aura-2-aurelia-de", "Aurelia", &["de"], "Aura 2"),
    voice("aura-2-elara-de", "Elara", &["de"], "Aura 2"),
    voice("aura-2-fabian-de", "Fabian", &["de"], "Aura 2"),
    voice("aura-2-julius-de", "Julius", &["de"], "Aura 2"),
    voice("aura-2-kara-de", "Kara", &["de"], "Aura 2"),
    voice("aura-2-lara-de", "Lara", &["de"], "Aura 2"),
    voice("aura-2-viktoria-de", "Viktoria", &["de"], "Aura 2"),
    voice("aura-2-agustina-es", "Agustina", &["es"], "Aura 2"),
    voice("aura-2-alvaro-es", "Alvaro", &["es"], "Aura 2"),
    voice("aura-2-antonia-es", "Antonia", &["es"], "Aura 2"),
    voice("aura-2-aquila-es", "Aquila", &["es"], "Aura 2"),
    voice("aura-2-carina-es", "Carina", &["es"], "Aura 2"),
    voice("aura-2-celeste-es", "Celeste", &["es"], "Aura 2"),
    voice("aura-2-diana-es", "Diana", &["es"], "Aura 2"),
    voice("aura-2-estrella-es", "Estrella", &["es"], "Aura 2"),
    voice("aura-2-gloria-es", "Gloria", &["es"], "Aura 2"),
    voice("aura-2-javier-es", "Javier", &["es"], "Aura 2"),
    voice("aura-2-luciano-es", "Luciano", &["es"], "Aura 2"),
    voice("aura-2-nestor-es", "Nestor", &["es"], "Aura 2"),
    voice("aura-2-olivia-es", "Olivia", &["es"], "Aura 2"),
    voice("aura-2-selena-es", "Selena", &["es"], "Aura 2"),
    voice("aura-2-silvia-es", "Silvia", &["es"], "Aura 2"),
    voice("aura-2-sirio-es", "Sirio", &["es"], "Aura 2"),
    voice("aura-2-valerio-es", "Valerio", &["es"], "Aura 2"),
    voice("aura-2-agathe-fr", "Agathe", &["fr"], "Aura 2"),
    voice("aura-2-hector-fr", "Hector", &["fr"], "Aura 2"),
    voice("aura-2-cesare-it", "Cesare", &["it"], "Aura 2"),
    voice("aura-2-cinzia-it", "Cinzia", &["it"], "Aura 2"),
    voice("aura-2-demetra-it", "Demetra", &["it"], "Aura 2"),
    voice("aura-2-dionisio-it", "Dionisio", &["it"], "Aura 2"),
    voice("aura-2-elio-it", "Elio", &["it"], "Aura 2"),
    voice("aura-2-flavio-it", "Flavio", &["it"], "Aura 2"),
    voice("aura-2-livia-it", "Livia", &["it"], "Aura 2"),
    voice("aura-2-maia-it", "Maia", &["it"], "Aura 2"),
    voice("aura-2-melia-it", "Melia", &["it"], "Aura 2"),
    voice("aura-2-ama-ja", "Ama", &["ja"], "Aura 2"),
    voice("aura-2-ebisu-ja", "Ebisu", &["ja"], "Aura 2"),
    voice("aura-2-fujin-ja", "Fujin", &["ja"], "Aura 2"),
    voice("aura-2-izanami-ja", "Izanami", &["ja"], "Aura 2"),
    voice("aura-2-uzume-ja", "Uzume", &["ja"], "Aura 2"),
    voice("aura-2-beatrix-nl", "Beatrix", &["nl"], "Aura 2"),
    voice("aura-2-cornelia-nl", "Cornelia", &["nl"], "Aura 2"),
    voice("aura-2-daphne-nl", "Daphne", &["nl"], "Aura 2"),
    voice("aura-2-hestia-nl", "Hestia", &["nl"], "Aura 2"),
    voice("aura-2-lars-nl", "Lars", &["nl"], "Aura 2"),
    voice("aura-2-leda-nl", "Leda", &["nl"], "Aura 2"),
    voice("aura-2-rhea-nl", "Rhea", &["nl"], "Aura 2"),
    voice("aura-2-roman-nl", "Roman", &["nl"], "Aura 2"),
    voice("aura-2-sander-nl", "Sander", &["nl"], "Aura 2"),
    voice("aura-angus-en", "Angus", &["en"], "Aura, the older model"),
    voice("aura-helios-en", "Helios", &["en"], "Aura, the older model"),
    voice("aura-perseus-en", "Perseus", &["en"], "Aura, the older model"),
    voice("aura-stella-en", "Stella", &["en"], "Aura, the older model"),
];

const OPENAI: &[Known] = &[
    voice("coral", "Coral", &[], ""),
    voice("alloy", "Alloy", &[], ""),
    voice("ash", "Ash", &[], ""),
    voice("ballad", "Ballad", &[], ""),
    voice("echo", "Echo", &[], ""),
    voice("fable", "Fable", &[], ""),
    voice("onyx", "Onyx", &[], ""),
    voice("nova", "Nova", &[], ""),
    voice("sage", "Sage", &[], ""),
    voice("shimmer", "Shimmer", &[], ""),
    voice("verse", "Verse", &[], ""),
    voice("marin", "Marin", &[], ""),
    voice("cedar", "Cedar", &[], ""),
];

const CARTESIA: &[Known] = &[
    voice("f786b574-daa5-4673-aa0c-cbe3e8534c02", "Katie", &["en"], "steady American woman, made for agents"),
    voice("9626c31c-bec5-4cca-baa8-f8ba9e84c8bc", "Jacqueline", &["en"], "confident young American woman"),
    voice(
        "f9836c6e-a0bd-460e-9d3c-f7299fa60f94",
        "Caroline",
        &["en"],
        "friendly woman with a Southern accent",
    ),
    voice(
        "3b554273-4299-48b9-9aaf-eefd438e3941",
        "Indian Lady",
        &["en"],
        "young, rich voice with an Indian accent",
    ),
    voice("c1abd502-9231-4558-a054-10ac950c356d", "Hindi Narrator Woman", &["hi"], "clear narrating woman"),
    voice("71a7ad14-091c-4e8e-a314-022ece01c121", "British Reading Lady", &["en"], "calm British woman"),
    voice("79f8b5fb-2cc8-479a-80df-29f7a7cf1a3e", "Nonfiction Man", &["en"], "smooth, confident man"),
    voice("d46abd1d-2d02-43e8-819f-51fb652c1c61", "Newsman", &["en"], "neutral newsreader"),
    voice("3f4ade23-6eb4-4279-ab05-6a144947c4d5", "German Conversational Woman", &["de"], "friendly woman"),
    voice("a249eaff-1e96-4d2c-b23b-12efa4f66f41", "French Conversational Lady", &["fr"], "gentle woman"),
];

const FLITE: &[Known] =
    &[voice("slt", "slt", &["en-US"], "American woman"), voice("rms", "rms", &["en-US"], "American man")];

const ESPEAK: &[Known] = &[
    voice("en-us", "en-us", &["en-US"], ""),
    voice("en-gb", "en-gb", &["en-GB"], ""),
    voice("en-gb-scotland", "en-gb-scotland", &["en-GB"], ""),
];
