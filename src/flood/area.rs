//! Whether a warning concerns the site: by code of the area, polygon, circle or name.

use crate::model::warning::{Circle, Coordinates, WarningArea, WarningInfo};

/// Mean radius of the earth.
const EARTH_KM: f64 = 6_371.0;

/// Where the site is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SitePlace {
    /// WGS 84.
    pub position: Option<Coordinates>,
    /// Codes of the areas that it lies in, of whatever scheme.
    pub geocodes: Vec<String>,
    /// Names of areas as the service writes them.
    pub area_names: Vec<String>,
}

impl SitePlace {
    /// Whether one of the areas of a warning concerns it. Where an area has codes, these decide; shapes and names are looked at besides.
    pub fn is_in(&self, info: &WarningInfo) -> bool {
        info.areas.iter().any(|area| self.is_in_area(area))
    }

    fn is_in_area(&self, area: &WarningArea) -> bool {
        let codes = area.geocodes.iter().map(|(_, code)| code.as_str());
        let is_named = !area.name.is_empty() && self.area_names.iter().any(|name| area.name.contains(name.as_str()));
        let is_within = self.position.is_some_and(|position| {
            area.polygons.iter().any(|corners| is_in_polygon(position, corners))
                || area.circles.iter().any(|circle| is_in_circle(position, *circle))
        });
        is_named || is_within || codes.into_iter().any(|code| self.geocodes.iter().any(|own| is_related(own, code)))
    }
}

/// Whether two codes name the same area, or one an area within the other's. Chinese codes (GB/T 2260, and 12 digits with towns and villages)
/// end in zeros where they name a larger area; others must be equal.
fn is_related(own: &str, code: &str) -> bool {
    match (significant(own), significant(code)) {
        (Some(own), Some(code)) => own.starts_with(code) || code.starts_with(own),
        _ => own.eq_ignore_ascii_case(code),
    }
}

/// The digits of a Chinese code without the zeros of the levels below: province 2, city 4, county 6, town 9, village 12 digits.
fn significant(code: &str) -> Option<&str> {
    let is_code = matches!(code.len(), 2 | 4 | 6 | 9 | 12) && code.bytes().all(|byte| byte.is_ascii_digit());
    let levels = [9, 6, 4, 2];
    let mut rest = is_code.then_some(code)?;
    for level in levels {
        match rest.get(level..) {
            Some(below) if !below.is_empty() && below.bytes().all(|byte| byte == b'0') => rest = &rest[..level],
            _ => {}
        }
    }
    Some(rest)
}

/// By the crossings of a ray; degrees are taken as plane coordinates, which is exact enough for areas of a county.
fn is_in_polygon(at: Coordinates, corners: &[Coordinates]) -> bool {
    let mut is_inside = false;
    let mut before = corners.last();
    for corner in corners {
        if let Some(last) = before
            && (corner.latitude > at.latitude) != (last.latitude > at.latitude)
        {
            let share = (at.latitude - corner.latitude) / (last.latitude - corner.latitude);
            let crossing = corner.longitude + share * (last.longitude - corner.longitude);
            is_inside ^= at.longitude < crossing;
        }
        before = Some(corner);
    }
    is_inside
}

fn is_in_circle(at: Coordinates, circle: Circle) -> bool {
    let (a, b) = (at.latitude.to_radians(), circle.centre.latitude.to_radians());
    let (north, east) = ((a - b) / 2.0, (at.longitude - circle.centre.longitude).to_radians() / 2.0);
    let chord = north.sin().powi(2) + a.cos() * b.cos() * east.sin().powi(2);
    2.0 * EARTH_KM * chord.sqrt().min(1.0).asin() <= circle.radius_km
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64, longitude: f64) -> Coordinates {
        Coordinates { latitude, longitude }
    }

    #[test]
    fn codes_match_their_own_area_what_lies_in_it_and_what_it_lies_in() {
        let own = "370614";
        for code in ["370614000000", "370614", "370600000000", "370000000000", "37", "370614001000"] {
            assert!(is_related(own, code), "{code}");
        }
        for code in ["370613000000", "370100000000", "360000000000", "DE212", "", "0", "000000000000"] {
            assert!(!is_related(own, code), "{code}");
        }
        // District digits of a city's warning need not be zero.
        assert!(is_related("341823", "341823100000"));
        assert!(is_related("de212", "DE212"));
        assert!(!is_related("DE21", "DE212"));
    }

    #[test]
    fn positions_are_in_shapes_or_not() {
        let square = [at(37.0, 121.0), at(38.0, 121.0), at(38.0, 122.0), at(37.0, 122.0)];
        assert!(is_in_polygon(at(37.5, 121.5), &square));
        assert!(!is_in_polygon(at(36.9, 121.5), &square));
        assert!(!is_in_polygon(at(37.5, 122.1), &square));
        // The last corner may repeat the first.
        let closed: Vec<Coordinates> = square.iter().copied().chain([square[0]]).collect();
        assert!(is_in_polygon(at(37.5, 121.5), &closed));
        // A degree of latitude is 111.2 km.
        assert!(is_in_circle(at(38.0, 121.0), Circle { centre: at(37.0, 121.0), radius_km: 111.3 }));
        assert!(!is_in_circle(at(38.0, 121.0), Circle { centre: at(37.0, 121.0), radius_km: 111.0 }));
        // Across the date line it is not far.
        assert!(is_in_circle(at(0.0, 179.95), Circle { centre: at(0.0, -179.95), radius_km: 12.0 }));
    }
}
