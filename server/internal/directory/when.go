package directory

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// CompileWhen reads conditions; none are nil.
func CompileWhen(c api.Conditions) (*policy.When, error) {
	w := &policy.When{Methods: slices.Clone(c.Auth), Bound: c.Bound}
	slices.Sort(w.Methods)
	w.Methods = slices.Compact(w.Methods)
	for _, n := range c.Networks {
		p, err := netip.ParsePrefix(n)
		if err != nil || p != p.Masked() {
			return nil, &InvalidError{"networks", fmt.Sprintf("%q is not a network such as 10.0.0.0/8", n)}
		}
		w.Networks = append(w.Networks, p)
	}
	slices.SortFunc(w.Networks, netip.Prefix.Compare)
	w.Networks = slices.Compact(w.Networks)
	switch c.Chain {
	case "", "any":
	case "direct":
		w.Direct = true
	default:
		return nil, &InvalidError{"chain", "must be direct or any"}
	}
	var err error
	if w.Hours, err = ParseHours(c.Hours); err != nil {
		return nil, err
	}
	if len(w.Methods) == 0 && !w.Bound && len(w.Networks) == 0 && w.Hours == (policy.Hours{}) && !w.Direct {
		return nil, nil
	}
	return w, nil
}

// ConditionsOf writes what CompileWhen read.
func ConditionsOf(w *policy.When) (c api.Conditions) {
	if w == nil {
		return c
	}
	c.Auth, c.Bound, c.Hours = w.Methods, w.Bound, FormatHours(w.Hours)
	for _, n := range w.Networks {
		c.Networks = append(c.Networks, n.String())
	}
	if w.Direct {
		c.Chain = "direct"
	}
	return c
}

// FormatWhen writes conditions as text to store; none are empty.
func FormatWhen(w *policy.When) string {
	if w == nil {
		return ""
	}
	b, err := json.Marshal(ConditionsOf(w))
	if err != nil {
		panic(err) // strings and booleans
	}
	return string(b)
}

// ParseWhen reads what FormatWhen wrote. An error must not read as "always".
func ParseWhen(s string) (*policy.When, error) {
	if s == "" {
		return nil, nil
	}
	var c api.Conditions
	if err := json.Unmarshal([]byte(s), &c); err != nil {
		return nil, fmt.Errorf("conditions of a rule: %w", err)
	}
	return CompileWhen(c)
}

var weekdays = []string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}

func weekday(i int) time.Weekday { return time.Weekday((i + 1) % 7) }

// ParseHours reads "Mon-Fri 08:00-18:00", "Sat,Sun 00:00-24:00" or, for every day, "22:00-06:00".
func ParseHours(s string) (h policy.Hours, err error) {
	if s == "" {
		return h, nil
	}
	bad := &InvalidError{"hours", fmt.Sprintf(`%q is not a part of the week such as "Mon-Fri 08:00-18:00", in UTC`, s)}
	days, times, found := strings.Cut(s, " ")
	if !found {
		days, times = "Mon-Sun", s
	}
	for part := range strings.SplitSeq(days, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, to := slices.Index(weekdays, first), slices.Index(weekdays, last)
		if from < 0 || to < 0 {
			return policy.Hours{}, bad
		}
		for i := from; ; i = (i + 1) % 7 {
			h.Days |= 1 << weekday(i)
			if i == to {
				break
			}
		}
	}
	from, to, _ := strings.Cut(times, "-")
	var ok1, ok2 bool
	h.From, ok1 = minuteOf(from)
	h.To, ok2 = minuteOf(to)
	if !ok1 || !ok2 || h.From == 24*60 || h.From == h.To {
		return policy.Hours{}, bad
	}
	return h, nil
}

func minuteOf(s string) (int16, bool) {
	if len(s) != 5 || s[2] != ':' {
		return 0, false
	}
	hour, err1 := strconv.ParseUint(s[:2], 10, 8)
	minute, err2 := strconv.ParseUint(s[3:], 10, 8)
	n := hour*60 + minute
	return int16(n), err1 == nil && err2 == nil && minute < 60 && n <= 24*60
}

// FormatHours writes h as ParseHours reads it.
func FormatHours(h policy.Hours) string {
	if h == (policy.Hours{}) {
		return ""
	}
	var days []string
	for i := 0; i < 7; i++ {
		if h.Days>>weekday(i)&1 == 0 {
			continue
		}
		last := i
		for last < 6 && h.Days>>weekday(last+1)&1 == 1 {
			last++
		}
		switch {
		case last == i:
			days = append(days, weekdays[i])
		default:
			days = append(days, weekdays[i]+"-"+weekdays[last])
		}
		i = last
	}
	return fmt.Sprintf("%s %02d:%02d-%02d:%02d", strings.Join(days, ","), h.From/60, h.From%60, h.To/60, h.To%60)
}
