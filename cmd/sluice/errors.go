package main

import "regexp"

// gRPC puts one of these around a message for each layer that it goes through.
var (
	quoted   = regexp.MustCompile(`connection error: desc = "(?:transport: )?(?:Error while dialing: )?(.*)"`)
	unquoted = regexp.MustCompile(`rpc error: code = \w+ desc = `)
)

// plain is an error as people read it, without gRPC's wrapping.
func plain(err error) string {
	return quoted.ReplaceAllString(unquoted.ReplaceAllString(err.Error(), ""), "$1")
}
