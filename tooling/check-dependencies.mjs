// Holds the crates to deny.toml: licences, banned crates, sources. And npm's locks to naming no address, so that
// they work behind any registry.
//
// Runs on the oldest Node.js that a supported Ubuntu has (12). Run from the root of the repository. Prints what is wrong, one finding a line; exit code 1 if there is any.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

const rules = readFileSync("deny.toml", "utf8").replace(/^\s*#.*$/gm, "");

/** The strings in the list `name` of deny.toml. */
function list(name) {
  const found = new RegExp(`^${name} = \\[([^\\]]*)\\]`, "m").exec(rules);
  if (!found) throw new Error(`deny.toml has no list \`${name}\``);
  return [...found[1].matchAll(/"([^"]+)"/g)].map((match) => match[1]);
}

/** Whether an SPDX expression can be met with allowed licences alone. `/` is the old spelling of OR. */
function isAllowed(expression, allowed) {
  const tokens = expression.replace(/\//g, " OR ").match(/[()]|[^\s()]+/g) || [];
  let next = 0;
  const either = () => {
    let met = both();
    while (tokens[next] === "OR") { next++; met = both() || met; }
    return met;
  };
  const both = () => {
    let met = one();
    while (tokens[next] === "AND") { next++; met = one() && met; }
    return met;
  };
  const one = () => {
    if (tokens[next] === "(") {
      next++;
      const met = either();
      next++;
      return met;
    }
    let licence = tokens[next++];
    if (tokens[next] === "WITH") { licence += ` WITH ${tokens[next + 1]}`; next += 2; }
    return allowed.has(licence);
  };
  const met = either();
  return met && next === tokens.length;
}

const allowed = new Set(list("allow"));
const banned = new Set(list("deny"));
const registries = new Set(list("allow-registry").map((address) => `registry+${address}`));
const metadata = JSON.parse(
  execFileSync("cargo", ["metadata", "--format-version", "1", "--locked", "--all-features"], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
    stdio: ["ignore", "pipe", "inherit"],
  }),
);

const findings = [];
for (const { name, version, license, source } of metadata.packages) {
  if (!license) findings.push(`${name} ${version} names no licence`);
  else if (!isAllowed(license, allowed)) findings.push(`${name} ${version} is under ${license}, which deny.toml does not allow`);
  if (banned.has(name)) findings.push(`${name} ${version} is banned by deny.toml`);
  if (source !== null && !registries.has(source)) findings.push(`${name} ${version} comes from ${source}`);
}
for (const lock of ["tooling/package-lock.json"].filter(existsSync)) {
  if (/"resolved"|https?:\/\//.test(readFileSync(lock, "utf8"))) findings.push(`${lock} names the address of a registry`);
}

findings.forEach((finding) => console.error(finding));
console.log(`${metadata.packages.length} crates: ${findings.length === 0 ? "all as deny.toml wants them" : `${findings.length} findings`}`);
process.exitCode = findings.length === 0 ? 0 : 1;
