//! Organisations' own keys of vendors: used at once, kept encrypted, and shown by nobody.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use parlance_proto::v1::{
    self, DeleteProviderKeyRequest, ListProviderKeysRequest, ListProvidersRequest, ListVoicesRequest,
    ProviderAccount, ProviderKind, SetProviderKeyRequest,
};
use parlance_tests::details::{assert_bad_fields, assert_refused};
use parlance_tests::{House, database};
use tonic::Code;

pub const ONE: &str = "MTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTE=";
pub const TWO: &str = "MjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjI=";
const KEY: &str = "sk-geheim-0123456789-wxyz";

async fn set(house: &House, vendor: &str, key: &str) -> Result<v1::ProviderKey, tonic::Status> {
    let request =
        SetProviderKeyRequest { vendor: vendor.into(), key: key.into(), request_id: "set once".into() };
    let set = house.client.providers().set_provider_key(request).await?;
    Ok(set.into_inner().provider_key.expect("the answer holds it"))
}

async fn accounts(house: &House, vendor: &str) -> Vec<ProviderAccount> {
    let all = house.client.providers().list_providers(ListProvidersRequest::default()).await;
    let all = all.expect("they are listed").into_inner().providers;
    all.iter().filter(|provider| provider.vendor == vendor).map(|provider| provider.account()).collect()
}

/// One text of the database, as its owner sees it.
pub async fn asked(house: &House, query: &str) -> String {
    let (client, connection) = database::connect(&house.database_url).await;
    let row = client.query_one(query, &[]).await.unwrap_or_else(|error| panic!("{query}: {error}"));
    drop(client);
    connection.await.expect("the connection ends in order");
    row.get::<_, Option<String>>(0).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_master_key_no_key_is_taken() {
    let house = House::scripted().await;
    let refused = set(&house, "openai", KEY).await.expect_err("there is nothing to encrypt it with");
    assert_refused(&refused, Code::FailedPrecondition, "MASTER_KEY_MISSING");
    assert!(refused.message().contains("openssl rand -base64 32"), "{refused:?}");
    assert!(!format!("{refused:?}").contains("geheim"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_used_at_once_by_its_organisation_alone_and_until_it_is_deleted() {
    let house = House::with_master_keys(ONE, None).await;
    assert!(accounts(&house, "openai").await.iter().all(|it| *it == ProviderAccount::Unspecified));
    let made = set(&house, "openai", KEY).await.expect("it is a key");
    assert_eq!((made.vendor.as_str(), made.hint.as_str()), ("openai", "wxyz"));
    let own = accounts(&house, "openai").await;
    assert!(!own.is_empty() && own.iter().all(|it| *it == ProviderAccount::Organisation), "{own:?}");
    let stranger = house.stranger().await;
    let theirs = stranger.providers().list_provider_keys(ListProviderKeysRequest {}).await;
    assert!(theirs.expect("it is listed").into_inner().provider_keys.is_empty());
    let providers = stranger.providers().list_providers(ListProvidersRequest::default()).await;
    let providers = providers.expect("they are listed").into_inner().providers;
    assert!(providers.iter().filter(|it| it.vendor == "openai").all(|it| !it.configured));

    let request = DeleteProviderKeyRequest { vendor: "openai".into(), ..Default::default() };
    house.client.providers().delete_provider_key(request.clone()).await.expect("it is there");
    assert!(accounts(&house, "openai").await.iter().all(|it| *it == ProviderAccount::Unspecified));
    let again = house.client.providers().delete_provider_key(request).await.expect_err("it is gone");
    assert_refused(&again, Code::NotFound, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_in_no_row_no_answer_and_no_line_of_the_log() {
    let log = Log::begin();
    let house = House::with_master_keys(ONE, None).await;
    let made = set(&house, "deepgram", KEY).await.expect("it is a key");
    let again = set(&house, "deepgram", KEY).await.expect("the same request is answered the same");
    assert_eq!(made, again);
    let listed = house.client.providers().list_provider_keys(ListProviderKeysRequest {}).await;
    assert!(!format!("{listed:?}{made:?}").contains("geheim"));
    assert_in_no_row(&house, KEY, &["provider_keys", "audit_log", "request_answers"]).await;
    assert!(!log.text().contains("geheim"), "the log has it");
}

/// Looks for a secret in every table, as text and as bytes; these tables have rows to look at.
pub async fn assert_in_no_row(house: &House, secret: &str, seen: &[&str]) {
    let tables = "SELECT string_agg(c.relname, ' ') FROM pg_class c JOIN pg_namespace n \
                  ON n.oid = c.relnamespace WHERE n.nspname = 'parlance' AND c.relkind = 'r'";
    let tables = asked(house, tables).await;
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    for table in tables.split(' ') {
        let rows = asked(house, &format!("SELECT string_agg(t::text, ' ') FROM parlance.{table} t")).await;
        assert!(!rows.contains(secret) && !rows.contains(&hex), "{table} holds the secret");
        assert!(!seen.contains(&table) || !rows.is_empty(), "{table} could not be looked at");
    }
    let missing = seen.iter().find(|table| !tables.split(' ').any(|known| known == **table));
    assert_eq!(missing, None, "{tables}");
}

/// Every line that this process logs from now on.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub fn begin() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        let begin = || {
            let log = Self::default();
            let lines = tracing_subscriber::fmt()
                .with_env_filter("debug,parlance=trace,parlance_store=trace")
                .with_ansi(false);
            // Another test of this process may have set one: then that one has the lines, and these tests are about rows.
            lines.with_writer(log.clone()).try_init().ok();
            log
        };
        LOG.get_or_init(begin).clone()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("nobody panicked").clone()).expect("lines are UTF-8")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panicked").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_key_is_changed_without_a_key_being_lost() {
    let before = House::with_master_keys(ONE, None).await;
    set(&before, "openai", KEY).await.expect("it is a key");
    let whose = before.scope.organisation();
    let sealed_with = format!(
        "SELECT string_agg(master_key, ' ') FROM parlance.provider_keys WHERE organisation_id = '{whose}'"
    );
    let first = asked(&before, &sealed_with).await;
    assert!(!first.is_empty(), "the row can be seen");
    let between = before.again_with_master_keys(TWO, Some(ONE)).await;
    let own = accounts(&between, "openai").await;
    assert!(own.iter().all(|it| *it == ProviderAccount::Organisation), "{own:?}");
    let second = asked(&before, &sealed_with).await;
    assert_ne!(first, second, "it was sealed anew when it was read");
    let after = between.again_with_master_keys(TWO, None).await;
    let own = accounts(&after, "openai").await;
    assert!(own.iter().all(|it| *it == ProviderAccount::Organisation), "{own:?}");
    // Who has neither serves the organisation on nobody else's account.
    let stranger = after.again_with_master_keys(ONE, None).await;
    let none = accounts(&stranger, "openai").await;
    assert!(none.iter().all(|it| *it == ProviderAccount::Unspecified), "{none:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_key_and_no_vendor_is_refused_without_the_key() {
    let house = House::with_master_keys(ONE, None).await;
    for (vendor, key, field) in [
        ("nobody", KEY, "vendor"),
        ("openai", "short", "key"),
        ("openai", "sk-geheim with blanks", "key"),
        ("openai", "sk-geheim-\u{e9}\u{e9}\u{e9}", "key"),
    ] {
        let refused = set(&house, vendor, key).await.expect_err(field);
        assert_bad_fields(&refused, &[field]);
        assert!(!format!("{refused:?}").contains("geheim"), "{refused:?}");
    }
    let request = ListVoicesRequest { provider: "nobody".into(), ..Default::default() };
    let refused = house.client.providers().list_voices(request).await.expect_err("there is no such provider");
    assert_bad_fields(&refused, &["provider"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voices_are_listed_page_by_page_and_found_by_provider_and_language() {
    let house = House::offline().await;
    let list = async |request: ListVoicesRequest| {
        let page =
            house.client.providers().list_voices(request).await.expect("voices are listed").into_inner();
        let ids: Vec<String> = page.voices.into_iter().map(|voice| voice.voice_id).collect();
        (ids, page.next_page_token)
    };
    let (whole, _) = list(ListVoicesRequest { page_size: 200, ..Default::default() }).await;
    assert!(whole.contains(&"flite/slt".to_owned()) && whole.len() >= 3, "{whole:?}");
    let (mut walked, mut page_token) = (Vec::new(), String::new());
    loop {
        let (ids, next) = list(ListVoicesRequest { page_size: 2, page_token, ..Default::default() }).await;
        walked.extend(ids);
        if next.is_empty() {
            break;
        }
        page_token = next;
    }
    assert_eq!(walked, whole);
    let (flite, _) = list(ListVoicesRequest { provider: "flite".into(), ..Default::default() }).await;
    assert!(!flite.is_empty() && flite.iter().all(|id| id.starts_with("flite/")), "{flite:?}");
    let (german, _) = list(ListVoicesRequest { language: "xx".into(), ..Default::default() }).await;
    assert!(german.is_empty(), "{german:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn providers_are_listed_with_those_that_wait_for_a_key() {
    let house = House::offline().await;
    let request = ListProvidersRequest { kind: ProviderKind::SpeechToText.into(), ..Default::default() };
    let all = house.client.providers().list_providers(request).await.expect("they are listed").into_inner();
    let usable: Vec<&str> =
        all.providers.iter().filter(|it| it.configured).map(|it| it.provider.as_str()).collect();
    assert_eq!(usable, ["pocketsphinx"]);
    assert!(all.providers.len() > 1, "vendors are listed too");
    assert!(all.providers.iter().all(|it| it.kind() == ProviderKind::SpeechToText));
}
