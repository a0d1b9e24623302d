"""Files under the home: their checksums, the archive's, identities, instruments."""
