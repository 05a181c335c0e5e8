package service

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/config"
)

// defineSettings gives a command a flag for each setting of a service.
func defineSettings(cmd *cobra.Command) {
	flags := cmd.Flags()
	for _, m := range api.ServiceMembers() {
		if m.Flag == "" {
			continue
		}
		usage := base.FlagUsage(m.Doc)
		if m.Values != nil {
			usage += "; one of " + base.Names(m.Values)
		}
		switch m.Of(&api.ServiceSettings{}).(type) {
		case *string:
			flags.String(m.Flag, "", usage)
		case *bool:
			flags.Bool(m.Flag, false, usage)
		case *int64:
			flags.String(m.Flag, "", strings.Replace(usage, ";", ", as in "+m.Example+";", 1))
		case *[]string:
			flags.StringArray(m.Flag, nil, usage+"; may be repeated")
		}
		if f := flags.Lookup(m.Flag); m.Value != "" {
			f.Value, f.DefValue = named{f.Value, m.Value}, ""
		}
	}
}

// named is the value of a flag with the name that help texts have for it.
type named struct {
	pflag.Value
	name string
}

func (n named) Type() string { return n.name }

// settingsGiven returns the settings that the command line names, and no others.
func settingsGiven(cmd *cobra.Command) (p api.ServicePatch, err error) {
	flags := cmd.Flags()
	for _, m := range api.ServiceMembers() {
		if m.Flag == "" || !flags.Changed(m.Flag) {
			continue
		}
		switch to := m.In(&p).(type) {
		case **string:
			text := cmd.Flag(m.Flag).Value.String()
			if text != "" {
				text, err = nameOf(cmd, m, text)
			}
			*to = &text
		case **bool:
			var on bool
			on, err = flags.GetBool(m.Flag)
			*to = &on
		case **int64:
			var seconds int64
			if text := cmd.Flag(m.Flag).Value.String(); text != "" {
				seconds, err = base.Seconds(cmd, "--"+m.Flag, text)
			}
			*to = &seconds
		case **[]string:
			list := []string{} // --audience "" is none
			for _, text := range cmd.Flag(m.Flag).Value.(named).Value.(pflag.SliceValue).GetSlice() {
				if text != "" && err == nil {
					text, err = nameOf(cmd, m, text)
					list = append(list, text)
				}
			}
			*to = &list
		}
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

// nameOf is a value of a setting as the operator API has it: text, or the name for which text is short.
func nameOf(cmd *cobra.Command, m api.ServiceMember, text string) (string, error) {
	if m.Values == nil {
		return text, nil
	}
	return base.NameOf(cmd, "--"+m.Flag, m.Values, text)
}

// settingWords is a setting in words. It is empty if there is nothing to show.
func settingWords(m api.ServiceMember, s api.Service) string {
	switch v := m.Of(&s.ServiceSettings).(type) {
	case *string:
		if *v != "" {
			return *v
		}
	case *bool:
		if *v {
			return m.Words[1]
		}
		return m.Words[0]
	case *int64:
		if *v != 0 {
			return config.FormatDuration(time.Duration(*v) * time.Second)
		}
	case *[]string:
		if len(*v) > 0 {
			return strings.Join(*v, " ")
		}
	}
	return m.Empty
}

// words is the setting of that name in words.
func words(name string, s api.Service) string {
	all := api.ServiceMembers()
	return settingWords(all[slices.IndexFunc(all, func(m api.ServiceMember) bool { return m.Name == name })], s)
}
