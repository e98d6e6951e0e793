//! Manifests as other projects publish them, read word for word from the folder that
//! `PLUMBLINE_CORPUS` names. The containers are the test's own.

use std::fs;
use std::path::PathBuf;

use rig::lab::Lab;
use rig::scene::Scene;
use rig::tree::Container;

/// The folder of one project; `None`, said aloud, where there is no corpus.
fn published(project: &str) -> Option<PathBuf> {
    let corpus = std::env::var_os("PLUMBLINE_CORPUS").filter(|folder| !folder.is_empty());
    if corpus.is_none() {
        println!("PLUMBLINE_CORPUS is not set: no published manifest of {project} was read");
    }
    Some(PathBuf::from(corpus?).join(project))
}

/// Kinds in the corpus that this version does not serve.
const CONFIG: &str = "apiVersion: plumbline.dev/v1alpha1\nkind: Config\n\
                      ignoreKinds: [Kustomization]\n";

/// Applies a project's manifests with these containers, and asks what the lines expect.
fn hold(project: &str, containers: &[Container], lines: &str) {
    let Some(folder) = published(project) else {
        return;
    };
    Lab::run(project, |lab| {
        let mut scene = Scene::new(lab, lines);
        let repository = lab.repository();
        repository.hold_copy(&folder, "");
        repository.write("plumbline.yaml", CONFIG);
        for container in containers {
            let text = serde_json::to_string(&container.document()).unwrap();
            repository.write(&format!("containers/{}.yaml", container.name), text);
        }
        lab.apply(project);
        scene.enter_containers(&lab.alpha(), containers);
        scene.expect(lines);
    });
}

/// Containers of these names in a namespace, each with a label of its name.
fn named(namespace: &str, label: &str, names: &[&str]) -> Vec<Container> {
    let numbered = (1..).zip(names);
    let container = |(number, name): (u16, &&str)| {
        Container::numbered(&format!("{namespace}/{name}"), number).label(label, name)
    };
    numbered.map(container).collect()
}

#[test]
fn every_project_of_the_corpus_is_named_here() {
    let Some(corpus) = published(".") else {
        return;
    };
    let entries = fs::read_dir(corpus).unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<_> = folders.map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(
        names,
        ["flux", "kube-prometheus", "online-boutique", "rook"]
    );
}

#[test]
fn online_boutique() {
    let names = [
        "frontend",
        "checkoutservice",
        "cartservice",
        "currencyservice",
        "redis-cart",
        "paymentservice",
        "productcatalogservice",
        "recommendationservice",
        "loadgenerator",
        "stranger",
    ];
    hold(
        "online-boutique",
        &named("default", "app", &names),
        "
        default/loadgenerator, outside -> default/frontend  tcp/8080 udp/8080 icmp  allowed
        default/frontend, default/checkoutservice -> default/cartservice  tcp/7070  allowed
        default/frontend, default/checkoutservice -> default/cartservice  tcp/7071 icmp  denied
        default/loadgenerator, outside -> default/cartservice             tcp/7070  denied
        default/frontend -> default/currencyservice                       tcp/7000  allowed
        default/cartservice -> default/currencyservice                    tcp/7000  denied
        default/cartservice -> default/redis-cart                         tcp/6379  allowed
        default/frontend -> default/redis-cart                            tcp/6379  denied
        default/checkoutservice -> default/paymentservice                 tcp/50051 allowed
        default/frontend -> default/paymentservice                        tcp/50051 denied
        default/frontend, default/checkoutservice -> default/productcatalogservice tcp/3550 allowed
        default/recommendationservice -> default/productcatalogservice    tcp/3550  allowed
        default/cartservice -> default/productcatalogservice              tcp/3550  denied
        default/frontend -> default/loadgenerator                         tcp/80    denied
        default/stranger -> outside, default/frontend                     tcp/8080  denied
        ",
    );
}

#[test]
fn kube_prometheus() {
    let label = |name: &str, number, component: &str, instance: Option<&str>| {
        let container = Container::numbered(&format!("monitoring/{name}"), number)
            .label("app.kubernetes.io/name", name)
            .label("app.kubernetes.io/component", component)
            .label("app.kubernetes.io/part-of", "kube-prometheus");
        instance
            .into_iter()
            .fold(container, |c, i| c.label("app.kubernetes.io/instance", i))
    };
    let containers = [
        label("prometheus", 1, "prometheus", Some("k8s")),
        label("alertmanager", 2, "alert-router", Some("main")),
        label("grafana", 3, "grafana", None),
        label("node-exporter", 4, "exporter", None),
        label("prometheus-adapter", 5, "metrics-adapter", None),
    ];
    hold(
        "kube-prometheus",
        &containers,
        "
        monitoring/prometheus -> monitoring/alertmanager                   tcp/9093 tcp/8080 allowed
        monitoring/prometheus -> monitoring/alertmanager                   tcp/9094 icmp     denied
        monitoring/grafana -> monitoring/alertmanager                      tcp/9093          denied
        monitoring/grafana, monitoring/prometheus-adapter -> monitoring/prometheus  tcp/9090 allowed
        monitoring/grafana -> monitoring/prometheus                        tcp/8080          denied
        monitoring/prometheus -> monitoring/node-exporter                  tcp/9100          allowed
        monitoring/grafana, outside -> monitoring/node-exporter            tcp/9100          denied
        outside, monitoring/grafana -> monitoring/prometheus-adapter       tcp/6443 icmp     allowed
        monitoring/node-exporter -> outside                                tcp/443           allowed
        ",
    );
}

#[test]
fn flux() {
    let mut containers = named(
        "default",
        "app",
        &["source-controller", "notification-controller"],
    );
    containers.push(Container::numbered("apps/client", 9));
    hold(
        "flux",
        &containers,
        "
        default/source-controller -> default/notification-controller  tcp/80 udp/53 icmp  allowed
        apps/client -> default/notification-controller                tcp/8080 tcp/9292   allowed
        apps/client -> default/source-controller                      tcp/8080            allowed
        apps/client -> default/source-controller                      tcp/9292 tcp/80     denied
        apps/client -> default/notification-controller                tcp/80 udp/9292 icmp  denied
        outside -> default/notification-controller                    tcp/8080 tcp/9292   denied
        default/source-controller -> outside                          tcp/443             allowed
        ",
    );
}

#[test]
fn rook() {
    let names = [
        "rook-ceph-mon",
        "rook-ceph-mgr",
        "rook-ceph-mds",
        "rook-ceph-exporter",
    ];
    let mut containers = named("rook-ceph", "app", &names);
    containers.push(Container::numbered("kube-system/dns", 9));
    hold(
        "rook",
        &containers,
        "
        rook-ceph/rook-ceph-mds -> rook-ceph/rook-ceph-mon       tcp/3300 tcp/6789           allowed
        rook-ceph/rook-ceph-mds -> rook-ceph/rook-ceph-mon       tcp/6800                    denied
        rook-ceph/rook-ceph-mds -> rook-ceph/rook-ceph-mgr       tcp/6800 tcp/7300           allowed
        rook-ceph/rook-ceph-mds -> rook-ceph/rook-ceph-mgr       tcp/6799 tcp/7301 udp/6800  denied
        rook-ceph/rook-ceph-mds -> kube-system/dns               udp/53 tcp/53               allowed
        rook-ceph/rook-ceph-mds -> kube-system/dns, outside      tcp/80 icmp                 denied
        rook-ceph/rook-ceph-exporter -> rook-ceph/rook-ceph-mon  tcp/3300                    allowed
        rook-ceph/rook-ceph-exporter -> rook-ceph/rook-ceph-mon  tcp/6789                    denied
        rook-ceph/rook-ceph-mon -> outside, kube-system/dns      tcp/80                      allowed
        outside -> rook-ceph/rook-ceph-mds                       tcp/80 icmp                 allowed
        ",
    );
}
