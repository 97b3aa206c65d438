//! Fuzzing of the parameters in URLs.

use pointstream_actors::{ConfigLimits, SessionConfig};
use pointstream_fuzzing::{Unstructured, arbitrary, fuzz_values};

use super::query::{Query, SESSION_PARAMETERS, STRICT};
use crate::nearest::nearest;

const LIMITS: ConfigLimits = ConfigLimits {
    max_images: 1000,
    min_process_res: 14,
    max_process_res: 1008,
    num_max_points: 10_000_000,
};
const OTHERS: [&str; 6] = [
    STRICT,
    "resume",
    "deltas",
    "since",
    "max_image",
    "\u{1F600}",
];
const VALUES: [&str; 40] = [
    "",
    " ",
    "0",
    "1",
    "7",
    "14",
    "1000",
    "1008",
    "10000000",
    "-1",
    "-0",
    "+5",
    " 252 ",
    "0x10",
    "1e2",
    "0.5",
    "100",
    "100.0000001",
    "NaN",
    "inf",
    "-inf",
    "1e400",
    "4e-324",
    "4294967296",
    "18446744073709551616",
    "170141183460469231731687303715884105728",
    "true",
    "False",
    "T",
    "yes",
    "off",
    "maybe",
    "auto",
    "refine",
    "whole",
    "meshopt",
    "none",
    "upper_bound_resize",
    "lower_bound_crop",
    "append",
];

/// The longest text of an error in bytes: it repeats at most 100 characters of the client, escaped.
const LONGEST_ERROR: usize = 2000;

fn pairs(random: &mut Unstructured<'_>) -> arbitrary::Result<Vec<(String, String)>> {
    let names = [&SESSION_PARAMETERS[..], &OTHERS].concat();
    let count = random.int_in_range(0..=8)?;
    (0..count)
        .map(|_| {
            let name = match random.ratio(1, 20)? {
                true => random.arbitrary()?,
                false => (*random.choose(&names)?).to_owned(),
            };
            let value = match random.ratio(1, 5)? {
                true => random.arbitrary()?,
                false => (*random.choose(&VALUES)?).to_owned(),
            };
            Ok((name, value))
        })
        .collect()
}

/// All parameters of a session as a client would send them.
fn written(config: &SessionConfig) -> Vec<(String, String)> {
    let points = &config.points;
    let values = [
        config.max_images.to_string(),
        config.process_res.to_string(),
        config.process_res_method.to_string(),
        config.conf_thresh_percentile.to_string(),
        config.num_max_points.to_string(),
        config.show_cameras.to_string(),
        config.window.to_string(),
        <&str>::from(config.finalize_mode).to_owned(),
        points.filter_edges.to_string(),
        points.voxel_size.to_string(),
        points.filter_black_bg.to_string(),
        points.filter_white_bg.to_string(),
        points.glb_compression.to_string(),
    ];
    let names = SESSION_PARAMETERS.map(str::to_owned);
    names.into_iter().zip(values).collect()
}

#[test]
fn parameters_of_sessions() {
    fuzz_values("parameters of sessions", pairs, |pairs| {
        let query = Query::from(pairs.clone());
        match query.session_config(&LIMITS) {
            Ok(config) => {
                config.check(&LIMITS).expect("within the limits");
                let again = Query::from(written(&config)).session_config(&LIMITS);
                assert_eq!(again, Ok(config));
            }
            Err(error) => assert!(error.detail().len() <= LONGEST_ERROR, "{}", error.detail()),
        }
        if let Err(error) = query.attach_options() {
            assert!(error.detail().len() <= LONGEST_ERROR, "{}", error.detail());
        }
        if let Err(error) = query.only(SESSION_PARAMETERS) {
            assert!(error.detail().len() <= LONGEST_ERROR, "{}", error.detail());
        }
    });
}

#[test]
fn names_that_are_meant() {
    let make = |random: &mut Unstructured<'_>| random.arbitrary::<String>();
    fuzz_values("names that are meant", make, |name| {
        if let Some(found) = nearest(name, SESSION_PARAMETERS) {
            assert!(SESSION_PARAMETERS.contains(&found));
        }
    });
}
