//! Tests that need nothing but the library: data files, the architecture, configurations, rules.

mod captures;
