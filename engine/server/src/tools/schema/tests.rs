//! Arguments against schemas: what is said of what does not fit.

use serde_json::json;

use super::*;

fn booking() -> Value {
    json!({
        "type": "object",
        "properties": {
            "day": {"type": "string", "enum": ["friday", "saturday"]},
            "guests": {"type": "integer", "minimum": 1, "maximum": 12},
            "outside": {"type": "boolean"},
            "dishes": {"type": "array", "maxItems": 2, "items": {"$ref": "#/$defs/dish"}},
            "phone": {"type": ["string", "null"], "minLength": 3},
            "pay": {"anyOf": [{"const": "cash"}, {"type": "object", "required": ["card"]}]},
        },
        "required": ["day", "guests"],
        "additionalProperties": false,
        "$defs": {"dish": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
    })
}

#[track_caller]
fn wrong(arguments: Value) -> String {
    let mut given = arguments;
    check(&booking(), &mut given).expect_err("it does not fit")
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    assert_eq!(wrong(json!({"day": "friday"})), "`guests` is missing");
    assert_eq!(
        wrong(json!({"day": "monday", "guests": 4})),
        r#"`day` must be one of "friday", "saturday", and is "monday""#
    );
    assert_eq!(wrong(json!({"day": "friday", "guests": 0})), "`guests` must be at least 1, and is 0");
    assert_eq!(
        wrong(json!({"day": "friday", "guests": "many"})),
        r#"`guests` must be of type integer, and is "many""#
    );
    assert_eq!(
        wrong(json!({"day": "friday", "guests": 2.5})),
        "`guests` must be of type integer, and is 2.5"
    );
    assert!(
        wrong(json!({"day": "friday", "guests": 2, "cake": 1}))
            .starts_with("`cake` is not known; known are:")
    );
    assert_eq!(
        wrong(json!({"day": "friday", "guests": 2, "dishes": [{"name": "soup"}, {}]})),
        "`dishes[1].name` is missing"
    );
    assert_eq!(
        wrong(json!({"day": "friday", "guests": 2, "phone": "1"})),
        "`phone` must have at least 3 letters, and has 1"
    );
    assert_eq!(
        wrong(json!({"day": "friday", "guests": 2, "pay": 1})),
        r#"`pay` must be "cash", and is 1, or `pay` must be of type object, and is 1"#
    );
    assert_eq!(wrong(json!([1])), "the whole of the arguments must be of type object, and is [1]");
}

#[test]
fn what_fits_passes_and_numbers_written_as_text_become_numbers() {
    let mut given =
        json!({"day": "friday", "guests": "4", "outside": "true", "phone": null, "dishes": [{"name": 7}]});
    check(&booking(), &mut given).expect("it fits");
    let dishes = json!([{"name": "7"}]);
    let expected = json!({"day": "friday", "guests": 4, "outside": true, "phone": null, "dishes": dishes});
    assert_eq!(given, expected);
    for pay in [json!("cash"), json!({"card": "1"})] {
        check(&booking(), &mut json!({"day": "friday", "guests": 4.0, "pay": pay})).expect("it fits");
    }
}

#[test]
fn a_schema_that_goes_in_a_circle_ends() {
    let circle = json!({"type": "object", "$ref": "#"});
    assert!(check(&circle, &mut json!({})).is_err());
}

#[test]
fn a_schema_of_anything_but_an_object_is_refused() {
    assert_eq!(problem(&booking()), None);
    for bad in [json!(1), json!({}), json!({"type": "string"}), json!({"type": "object", "properties": []})] {
        assert!(problem(&bad).is_some(), "{bad}");
    }
    let mut deep = json!({});
    for _ in 0..30 {
        deep = json!({"items": deep});
    }
    assert!(problem(&json!({"type": "object", "properties": {"a": deep}})).is_some());
    let long = "x".repeat(20_000);
    assert!(problem(&json!({"type": "object", "description": long})).is_some());
}

/// What is said of `value` by a rule for it alone.
#[track_caller]
fn said(rule: Value, value: Value) -> String {
    let schema = json!({"type": "object", "properties": {"it": rule}, "required": ["it"]});
    check(&schema, &mut json!({ "it": value })).err().unwrap_or_default()
}

#[test]
fn each_rule_says_what_to_write_instead() {
    let cases = [
        (
            json!({"pattern": "^[A-Z]{2}$"}),
            json!("x1"),
            r#"`it` must match the pattern ^[A-Z]{2}$, and is "x1""#,
        ),
        (
            json!({"format": "date"}),
            json!("friday"),
            r#"`it` must be a date such as 2026-03-31, and is "friday""#,
        ),
        (json!({"maxLength": 2}), json!("äöü"), "`it` must have at most 2 letters, and has 3"),
        (json!({"minLength": 3.0}), json!("äö"), "`it` must have at least 3 letters, and has 2"),
        (json!({"const": 5}), json!(4), "`it` must be 5, and is 4"),
        (json!({"enum": [1, "a", null]}), json!(2), r#"`it` must be one of 1, "a", null, and is 2"#),
        (json!({"exclusiveMinimum": 0}), json!(0), "`it` must be more than 0, and is 0"),
        (json!({"exclusiveMaximum": 1.5}), json!(1.5), "`it` must be less than 1.5, and is 1.5"),
        (json!({"multipleOf": 15}), json!(20), "`it` must be a multiple of 15, and is 20"),
        (json!({"multipleOf": 0.01}), json!(19.999), "`it` must be a multiple of 0.01, and is 19.999"),
        (json!({"minItems": 1}), json!([]), "`it` must have at least 1 items, and has 0"),
        (
            json!({"uniqueItems": true}),
            json!([1, {"a": 2}, 1.0]),
            "`it` must not hold the same twice, and holds 1.0 twice",
        ),
        (
            json!({"not": {"enum": ["now"]}}),
            json!("now"),
            r#"`it` must not fit {"enum":["now"]}, and is "now""#,
        ),
        (
            json!({"prefixItems": [{"type": "string"}], "items": false}),
            json!(["a", 1]),
            "`it[1]` is not allowed: leave it out",
        ),
        (json!({"prefixItems": [{"const": 1}]}), json!([2, 3]), "`it[0]` must be 1, and is 2"),
        (
            json!({"items": [{"const": 1}], "additionalItems": {"const": 2}}),
            json!([1, 3]),
            "`it[1]` must be 2, and is 3",
        ),
        (
            json!({"additionalProperties": {"type": "integer"}}),
            json!({"a": "x"}),
            r#"`it.a` must be of type integer, and is "x""#,
        ),
        (
            json!({"patternProperties": {"^x-": {"const": 1}}, "additionalProperties": false}),
            json!({"x-a": 1, "y": 2}),
            "`it.y` is not known; known are: none",
        ),
        (json!({"allOf": [{"minimum": 2}, {"maximum": 4}]}), json!(5), "`it` must be at most 4, and is 5"),
        (
            json!({"oneOf": [{"minimum": 2}, {"maximum": 4}]}),
            json!(3),
            "`it` fits more than one of the forms that its schema has, and must fit just one",
        ),
        (
            json!({"type": ["integer", "null"]}),
            json!("x"),
            r#"`it` must be of type integer or null, and is "x""#,
        ),
        (
            json!({"$ref": "#/properties/it/$defs/a", "$defs": {"a": {"const": 1}}}),
            json!(2),
            "`it` must be 1, and is 2",
        ),
        (json!(false), json!(2), "`it` is not allowed: leave it out"),
    ];
    for (rule, value, expected) in cases {
        assert_eq!(said(rule.clone(), value), expected, "{rule}");
    }
}

#[test]
fn what_fits_a_rule_passes() {
    let cases = [
        (json!({"pattern": "^[A-Z]{2}$", "format": "phone"}), json!("XY")),
        (json!({"minLength": 3, "maxLength": 3}), json!("äöü")),
        (json!({"multipleOf": 0.01}), json!(19.99)),
        (json!({"multipleOf": 15}), json!(-30)),
        (json!({"uniqueItems": true}), json!([1, "1", true, null])),
        (json!({"not": {"enum": ["now"]}}), json!("later")),
        (json!({"oneOf": [{"type": "integer"}, {"type": "string"}]}), json!("4")),
        (json!({"type": "string", "nullable": true}), json!(null)),
        (json!({"type": ["integer", "null"]}), json!(null)),
        (
            json!({"patternProperties": {"^x-": {"const": 1}}, "additionalProperties": false}),
            json!({"x-a": 1}),
        ),
        (json!({"prefixItems": [{"type": "string"}]}), json!(["a", 1])),
        (json!({"minimum": 9_007_199_254_740_993_i64}), json!(9_007_199_254_740_993_i64)),
        (json!({"pattern": "(?=looks ahead)"}), json!("an MCP server may have it, and it is not judged")),
        (json!({"not": {"pattern": "(?=looks ahead)"}}), json!("nor is it turned round")),
        (json!({"oneOf": [{"format": "phone"}, {"format": "iban"}]}), json!("nor counted")),
        (json!({"not": {"if": {"const": 1}, "then": {"const": 2}}}), json!("nor this")),
    ];
    for (rule, value) in cases {
        assert_eq!(said(rule.clone(), value), "", "{rule}");
    }
    let mut given = json!({"it": 4.0});
    let schema = json!({"type": "object", "properties": {"it": {"type": "integer"}}});
    check(&schema, &mut given).expect("it fits");
    assert_eq!(given.to_string(), r#"{"it":4}"#, "a whole number is written as one in an address");
}

#[test]
fn a_schema_that_names_itself_in_many_forms_is_given_up_soon() {
    let forms: Vec<Value> = (0..200).map(|_| json!({"$ref": "#/$defs/it"})).collect();
    let schema = json!({
        "type": "object",
        "properties": {"it": {"$ref": "#/$defs/it"}},
        "$defs": {"it": {"anyOf": forms}},
    });
    let why = check(&schema, &mut json!({"it": 1})).expect_err("it has no end");
    assert!(why.contains("too many or nested too deeply"), "{why}");
}

#[test]
fn a_rule_that_makes_no_sense_is_named_by_its_place_in_the_schema() {
    let cases = [
        (json!({"pattern": "(?=a)"}), "pattern", "look-around"),
        (json!({"pattern": 7}), "pattern", "as text"),
        (json!({"type": "text"}), "type", r#""text" is no type; types are: object, array"#),
        (json!({"minimum": 5, "maximum": 4}), "minimum", "is 5, and `maximum` is 4: nothing fits both"),
        (json!({"exclusiveMinimum": 4, "maximum": 4}), "exclusiveMinimum", "nothing fits both"),
        (json!({"minLength": 5, "maxLength": 4}), "minLength", "nothing fits both"),
        (json!({"minItems": -1}), "minItems", "0 or more"),
        (json!({"exclusiveMinimum": true}), "exclusiveMinimum", "must be a number"),
        (json!({"multipleOf": 0}), "multipleOf", "more than 0"),
        (json!({"enum": []}), "enum", "at least one value"),
        (json!({"type": "integer", "enum": ["a"]}), "enum", "nothing of the type"),
        (json!({"type": "integer", "const": "a"}), "const", "not of the type"),
        (json!({"required": true}), "required", "names of properties"),
        (json!({"required": ["a"], "additionalProperties": false}), "required", "`a` is no property"),
        (json!({"anyOf": []}), "anyOf", "at least one schema"),
        (json!({"items": 1}), "items", "must be a JSON schema"),
        (json!({"$ref": "#/$defs/none"}), "$ref", "leads nowhere"),
        (json!({"$ref": "#/properties/it"}), "$ref", "leads round in a circle"),
        (
            json!({"anyOf": [{"type": "integer"}, {"$ref": "#/properties/it"}]}),
            "anyOf[1].$ref",
            "in a circle",
        ),
        (json!({"anyOf": [{}, {"pattern": "("}]}), "anyOf[1].pattern", "unclosed group"),
        (json!({"patternProperties": {"(": {}}}), "patternProperties.(", "unclosed group"),
    ];
    for (rule, place, why) in cases {
        let schema = json!({"type": "object", "properties": {"it": rule}});
        let found = faults(&schema);
        assert_eq!(found.len(), 1, "{schema} {found:?}");
        assert_eq!(found[0].0, format!("properties.it.{place}"), "{found:?}");
        assert!(found[0].1.contains(why), "{found:?}");
    }
    assert_eq!(faults(&booking()), []);
    let named_so = json!({"type": "object", "properties": {"type": {"enum": ["a"]}, "required": {}}});
    assert_eq!(faults(&named_so), [], "a property may have the name of a rule");
    let tree = json!({"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}});
    assert_eq!(faults(&tree), [], "each is smaller than the one it is a part of");
    let round = json!({"a": {"$ref": "#/$defs/b"}, "b": {"allOf": [{}, {"$ref": "#/$defs/a"}]}});
    let places = faults(&json!({"type": "object", "$defs": round})).into_iter().map(|(place, _)| place);
    assert_eq!(places.collect::<Vec<_>>(), ["$defs.a.$ref", "$defs.b.allOf[1].$ref"]);
}

#[test]
fn arguments_of_more_than_2000_values_are_given_up() {
    let schema = json!({"type": "object", "properties": {"all": {"items": {"type": "integer"}}}});
    assert_eq!(check(&schema, &mut json!({"all": vec![1; 1_900]})), Ok(()));
    let why = check(&schema, &mut json!({"all": vec![1; 2_000]})).expect_err("they are many");
    assert!(why.contains("too many"), "{why}");
}

#[test]
fn a_schema_has_at_most_32_patterns() {
    let properties: Map<String, Value> =
        (0..33).map(|number| (format!("p{number}"), json!({"pattern": "a"}))).collect();
    let found = faults(&json!({"type": "object", "properties": properties}));
    let why = "holds 33 patterns, a large one counted as 8; at most 32 are allowed";
    assert_eq!(found, [(String::new(), why.to_owned())]);
    let large: Vec<Value> = (0..5).map(|_| json!({"pattern": r"^\p{L}{2,60}$"})).collect();
    let found = faults(&json!({"type": "object", "properties": {"it": {"anyOf": large}}}));
    assert!(found.len() == 1 && found[0].1.starts_with("holds 33 patterns"), "{found:?}");
}
