//! `parlance agents new`: an agent from one of the templates that come with the program.
//!
//! A template is an agent file of `examples/agents`, so that what is tried, shipped and read is one thing.

use std::path::Path;
use std::process::ExitCode;

use parlance_proto::v1::{Agent, CreateAgentRequest};

use super::{ConnectArgs, Error, connect};
use crate::output::{out, outln};

/// The templates by name, with what each is for.
pub const TEMPLATES: [Template; 3] = [
    Template {
        name: "clinic",
        about: "books visits of half an hour, with their reason",
        text: include_str!("../../../../../examples/agents/clinic.yaml"),
    },
    Template {
        name: "receptionist",
        about: "takes a message for a department",
        text: include_str!("../../../../../examples/agents/receptionist.yaml"),
    },
    Template {
        name: "restaurant",
        about: "books tables",
        text: include_str!("../../../../../examples/agents/restaurant.yaml"),
    },
];

/// An agent file that comes with the program.
pub struct Template {
    /// What it is asked for by.
    pub name: &'static str,
    about: &'static str,
    text: &'static str,
}

impl Template {
    /// The template of that name.
    ///
    /// # Errors
    /// A usage error that lists the templates.
    pub fn find(name: &str) -> Result<&'static Self, Error> {
        TEMPLATES.iter().find(|template| template.name == name).ok_or_else(|| {
            let list: Vec<String> = TEMPLATES
                .iter()
                .map(|template| format!("\n  {:<14}{}", template.name, template.about))
                .collect();
            Error::Usage(format!("there is no template `{name}`; there are:{}", list.concat()))
        })
    }

    /// Its agent.
    ///
    /// # Errors
    /// None for the templates that come with the program.
    pub fn agent(&self) -> Result<Agent, Error> {
        super::parse(Path::new(self.name), self.text)
    }
}

/// Arguments of `parlance agents new`.
#[derive(Debug, clap::Args)]
pub struct NewArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// The template: clinic, receptionist or restaurant.
    #[arg(short, long, value_name = "NAME")]
    template: String,
    /// The agent's id. Default: the template's name.
    #[arg(long)]
    id: Option<String>,
    /// The agent's name for people. Default: the template's.
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// Print the template as a file for `apply`, and create nothing.
    #[arg(long, conflicts_with_all = ["id", "display_name"])]
    print: bool,
}

/// Creates an agent from a template.
pub async fn run(args: NewArgs) -> Result<ExitCode, Error> {
    let template = Template::find(&args.template)?;
    if args.print {
        out!("{}", template.text);
        return Ok(ExitCode::SUCCESS);
    }
    let mut agent = template.agent()?;
    agent.display_name = args.display_name.unwrap_or(agent.display_name);
    let agent_id = args.id.unwrap_or_else(|| template.name.to_owned());
    let engine = connect(&args.connect).await?;
    let request = CreateAgentRequest { agent_id, agent: Some(agent), ..Default::default() };
    let made = engine.agents().create_agent(request).await?.into_inner().agent.unwrap_or_default();
    let id = made.name.trim_start_matches("agents/");
    outln!("created {}: try it with `parlance talk --agent {id}`", made.name);
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_template_is_answered_with_the_known_ones() {
        let error = Template::find("bakery").err().expect("there is none").to_string();
        assert!(TEMPLATES.iter().all(|template| error.contains(template.name)), "{error}");
    }

    #[test]
    fn every_template_is_an_agent_of_its_own_name() {
        for template in &TEMPLATES {
            let agent = template.agent().expect("it is a valid file");
            assert_eq!(agent.name, format!("agents/{}", template.name));
        }
    }
}
