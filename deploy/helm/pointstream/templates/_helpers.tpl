{{/* What the names of all objects begin with. */}}
{{- define "pointstream.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* Labels by which pods are found. The argument is the chart's context and the part. */}}
{{- define "pointstream.selector" -}}
app.kubernetes.io/name: pointstream
app.kubernetes.io/instance: {{ .context.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "pointstream.labels" -}}
{{ include "pointstream.selector" . }}
app.kubernetes.io/version: {{ .context.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .context.Chart.Name .context.Chart.Version | quote }}
{{- end }}

{{/* The environment that gateways and workers have in common. The user of NATS is server or worker. */}}
{{- define "pointstream.commonEnv" -}}
{{- $nats := .context.Values.nats -}}
{{- $url := $nats.url -}}
{{- if $nats.enabled -}}
{{- /* The name that the chart of NATS gives its service. */ -}}
{{- $name := ternary .context.Release.Name (printf "%s-nats" .context.Release.Name) (contains "nats" .context.Release.Name) -}}
{{- $url = printf "nats://%s:4222" ($name | trunc 63 | trimSuffix "-") -}}
{{- end -}}
{{- if not $url }}{{ fail "set nats.url, the address of NATS, or nats.enabled=true" }}{{ end -}}
{{- if $nats.secret -}}
{{- $url = $url | replace "://" (printf "://%s:$(NATS_PASSWORD)@" .user) -}}
- name: NATS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ $nats.secret }}
      key: {{ .user }}-password
{{ end -}}
- name: POINTSTREAM_NATS
  value: {{ $url | quote }}
{{- range $name, $value := .context.Values.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* The user of the image, with a group that may write to volumes. */}}
{{- define "pointstream.podSecurity" -}}
runAsNonRoot: true
runAsUser: 900
runAsGroup: 900
fsGroup: 900
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "pointstream.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
