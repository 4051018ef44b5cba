//! Commands to live calls, and the notices that carry word of them from node to node.

use std::time::Duration;

use parlance_store::commands::{self, Command};
use parlance_store::notices::{LISTENER, Notice};
use parlance_store::{CallId, CommandId, Error, Scope, Store};
use tokio::sync::mpsc;

use crate::setup::{Setup, as_login, execute, in_both_setups, new_call, new_organisation, open};

const LONG: Duration = Duration::from_secs(60);

pub async fn ask(scope: &Scope, call: CallId) -> CommandId {
    commands::ask(scope, call, &say("hello"), LONG).await.unwrap()
}

fn say(text: &str) -> Command {
    Command::Say { text: text.into(), protected: true }
}

/// The next notice, of those that concern us, within a bound.
async fn next(heard: &mut mpsc::UnboundedReceiver<Notice>, wanted: impl Fn(&Notice) -> bool) -> Notice {
    let found = async {
        loop {
            let notice = heard.recv().await.expect("the listener lives");
            if wanted(&notice) {
                return notice;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found).await.expect("the notice comes")
}

in_both_setups! {
    async fn a_command_is_taken_once_and_its_asker_learns_of_it(store: Store) {
        let scope = new_organisation(&store).await;
        let call = new_call(&scope).await;
        let id = ask(&scope, call).await;
        assert_eq!(commands::waiting(&scope).await.unwrap(), [(call, id)]);
        assert!(!commands::is_taken(&scope, id).await.unwrap());
        assert_eq!(commands::take(&scope, id).await.unwrap(), Some((call, say("hello"))));
        assert_eq!(commands::take(&scope, id).await.unwrap(), None);
        assert!(commands::is_taken(&scope, id).await.unwrap());
        assert!(commands::settle(&scope, id).await.unwrap());
        assert_eq!(commands::waiting(&scope).await.unwrap(), []);
    }

    async fn of_many_who_take_a_command_one_has_it(store: Store) {
        let scope = new_organisation(&store).await;
        let id = ask(&scope, new_call(&scope).await).await;
        let tasks: Vec<_> = (0..4).map(|_| {
            let scope = scope.clone();
            tokio::spawn(async move { commands::take(&scope, id).await.unwrap().is_some() })
        }).collect();
        let mut had = 0;
        for task in tasks {
            had += usize::from(task.await.unwrap());
        }
        assert_eq!(had, 1);
    }

    async fn nothing_is_taken_once_the_asker_has_given_up(store: Store) {
        let scope = new_organisation(&store).await;
        let call = new_call(&scope).await;
        let withdrawn = ask(&scope, call).await;
        assert!(!commands::settle(&scope, withdrawn).await.unwrap());
        assert_eq!(commands::take(&scope, withdrawn).await.unwrap(), None);
        let expired = commands::ask(&scope, call, &Command::End, Duration::ZERO).await.unwrap();
        assert_eq!(commands::waiting(&scope).await.unwrap(), []);
        assert_eq!(commands::take(&scope, expired).await.unwrap(), None);
    }

    async fn a_command_to_a_call_of_another_organisation_is_not_even_written(store: Store) {
        let (first, second) = (new_organisation(&store).await, new_organisation(&store).await);
        let call = new_call(&first).await;
        let refused = commands::ask(&second, call, &Command::Interrupt, LONG).await;
        assert!(matches!(refused, Err(Error::NotFound("call"))), "{refused:?}");
        let id = ask(&first, call).await;
        assert_eq!(commands::take(&second, id).await.unwrap(), None);
        assert!(!commands::settle(&second, id).await.unwrap());
        assert_eq!(commands::waiting(&first).await.unwrap(), [(call, id)]);
    }

    async fn the_broom_takes_what_is_long_past_of_every_organisation_and_nothing_else(store: Store) {
        let scope = new_organisation(&store).await;
        let call = new_call(&scope).await;
        let fresh = ask(&scope, call).await;
        let old = CommandId::new();
        let insert = format!(
            "INSERT INTO call_commands (id, organisation_id, call_id, command, expire_time) \
             VALUES ('{old}', '{}', '{call}', '\"end\"', now() - interval '2 minutes')",
            scope.organisation()
        );
        execute(&scope, &insert).await.unwrap();
        assert!(commands::sweep(&store).await.unwrap() >= 1);
        assert_eq!(execute(&scope, &format!("SELECT 1 FROM call_commands WHERE id = '{old}'")).await.unwrap(), 0);
        assert_eq!(commands::waiting(&scope).await.unwrap(), [(call, fresh)]);
    }

    async fn every_listener_hears_of_commands_answers_and_written_journals(store: Store) {
        let scope = new_organisation(&store).await;
        let call = new_call(&scope).await;
        let (tell, mut heard) = mpsc::unbounded_channel();
        let _listening = store.listen(move |notice| drop(tell.send(notice)));
        next(&mut heard, |notice| *notice == Notice::Missed).await;
        let command = ask(&scope, call).await;
        next(&mut heard, |notice| *notice == Notice::Asked { call, command }).await;
        commands::take(&scope, command).await.unwrap();
        next(&mut heard, |notice| *notice == Notice::Answered(command)).await;
        store.tell_written(&[call]).await.unwrap();
        next(&mut heard, |notice| *notice == Notice::Written(vec![call])).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_was_cut_off_hears_again_and_knows_that_it_missed_something() {
    let name = "cut_off";
    let url = crate::setup::ordinary_owner(name, "CREATEROLE").await;
    let store = open(&url, 2).await;
    let (tell, mut heard) = mpsc::unbounded_channel();
    let _listening = store.listen(move |notice| drop(tell.send(notice)));
    next(&mut heard, |notice| *notice == Notice::Missed).await;
    let cut = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name = '{LISTENER}' AND datname = '{name}'"
    );
    let superuser = Setup::PrivateCluster.url().await;
    assert_eq!(as_login(superuser, &[&cut]).await.unwrap(), ["t"]);
    next(&mut heard, |notice| *notice == Notice::Missed).await;
    let call = CallId::new();
    store.tell_written(&[call]).await.unwrap();
    next(&mut heard, |notice| *notice == Notice::Written(vec![call])).await;
}
